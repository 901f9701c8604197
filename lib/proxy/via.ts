/**
 * Goes through another HTTP proxy: CONNECT, its credentials, its answer (RFC 9110 section 9.3.6).
 */
import type { Socket } from "node:net"
import { FlowError } from "../errors.ts"
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

/** Asks the proxy at the other end of `socket` for a tunnel to `to`. Rejects with a FlowError when it says no. */
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
  const head = await readHead(socket, limits)
  if (head.status >= 200 && head.status < 300) return
  socket.destroy()
  const name = hostAndPort(proxy.host, proxy.port)
  const message = `connect ${authority} through ${name}: the proxy answered ${head.status} ${head.reason}; the request was not sent`
  throw new FlowError("upstream", "proxy-refused", message)
}

function readHead(socket: Socket, limits: HeadLimits): Promise<ResponseHead> {
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
      reject(new FlowError("upstream", "proxy-closed", "the upstream proxy closed the connection"))
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
