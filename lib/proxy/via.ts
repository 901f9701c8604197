/**
 * Goes through another HTTP proxy: CONNECT, its credentials, its answer (RFC 9110 section 9.3.6).
 */
import type { Socket } from "node:net"
import { FlowError, messageOf } from "../errors.ts"
import { Headers } from "../headers.ts"
import type { HeadLimits, ResponseHead } from "../http1/message.ts"
import { ResponseParser } from "../http1/parser.ts"
import { hostAndPort } from "./authority.ts"

export interface ViaProxy {
  readonly host: string
  readonly port: number
  /** `user:password`. */
  readonly credentials: string | undefined
}

/** Asks the proxy at the other end of `socket` for a tunnel to `to`. Rejects with a FlowError when it says no; the caller closes. */
export async function connectThroughProxy(
  socket: Socket,
  proxy: ViaProxy,
  to: { host: string; port: number },
  limits: HeadLimits,
): Promise<void> {
  const authority = hostAndPort(to.host, to.port)
  const headers = new Headers({ Host: authority })
  if (proxy.credentials !== undefined)
    headers.set("Proxy-Authorization", `Basic ${Buffer.from(proxy.credentials).toString("base64")}`)
  // Written out here: the serializer drops Proxy-Authorization, which is right everywhere else.
  socket.write(`CONNECT ${authority} HTTP/1.1\r\n${headers.lines().join("\r\n")}\r\n\r\n`, "latin1")
  const fail = (code: string, what: string, cause?: unknown) => {
    const message = `connect ${authority} through ${hostAndPort(proxy.host, proxy.port)}: ${what}; the request was not sent`
    return new FlowError("upstream", code, message, { cause })
  }
  const head = await readHead(socket, limits).catch((thrown) => {
    throw fail("proxy-broken", `the proxy's answer is not understood: ${messageOf(thrown)}`, thrown)
  })
  if (head === undefined) throw fail("proxy-closed", "the proxy closed the connection")
  if (head.status >= 200 && head.status < 300) return
  throw fail("proxy-refused", `the proxy answered ${head.status} ${head.reason}`)
}

/** Undefined when the proxy closes before its answer is whole. Rejects when it answers no HTTP. */
function readHead(socket: Socket, limits: HeadLimits): Promise<ResponseHead | undefined> {
  const parser = new ResponseParser(limits)
  parser.expect("CONNECT")
  return new Promise((resolve, reject) => {
    const stop = () => {
      socket.off("data", onData)
      socket.off("end", onEnd)
      socket.off("close", onEnd)
      socket.pause()
    }
    const onEnd = () => {
      stop()
      resolve(undefined)
    }
    const onData = (bytes: Buffer) => {
      try {
        parser.feed(bytes)
        for (let event = parser.next(); event !== undefined; event = parser.next()) {
          if (event.type !== "head") continue
          stop()
          const rest = parser.rest()
          if (rest.length > 0) socket.unshift(rest)
          resolve(event.head)
          return
        }
      } catch (thrown) {
        stop()
        reject(thrown)
      }
    }
    socket.on("data", onData)
    socket.once("end", onEnd)
    socket.once("close", onEnd)
  })
}
