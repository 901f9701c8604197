/**
 * Goes through another proxy: CONNECT, its credentials, its answer (RFC 9110 section 9.3.6), on TLS where the proxy
 * wants that; SOCKS5 is socks/through.ts's. Requests that need no tunnel go to an HTTP proxy as they are, in absolute-form.
 */
import { isIP, type Socket } from "node:net"
import { connect as connectTls, type SecureContext, type TLSSocket } from "node:tls"
import { FlowError, messageOf, systemCodeOf } from "../../base/errors.ts"
import { Headers } from "../../base/headers.ts"
import type { HeadLimits, ResponseHead } from "../../http1/message.ts"
import { ResponseParser } from "../../http1/parser.ts"
import { hostAndPort } from "../io/authority.ts"
import { proxyAuthorization, refusalOf, type ViaProxy } from "../io/via-address.ts"
import { certificateFailure, checkIdentity, UNTRUSTED } from "../tls/certificate-failure.ts"

/** Asks the proxy at the other end of `socket` for a tunnel to `to`. Rejects with a FlowError when it says no; the caller closes. */
export async function tunnelThrough(
  socket: Socket,
  proxy: ViaProxy,
  to: { host: string; port: number },
  limits: HeadLimits,
): Promise<void> {
  if (proxy.scheme !== "socks5") return connectThroughProxy(socket, proxy, to, limits)
  const { socksThrough } = await import("../socks/through.ts")
  return socksThrough(socket, proxy, to)
}

/** TLS with the proxy itself. Rejects with a FlowError; the caller closes. */
export function secureProxy(
  tcp: Socket,
  { host, port }: ViaProxy,
  tls: { readonly secureContext: SecureContext; readonly verify: boolean },
): Promise<TLSSocket> {
  const socket = connectTls({
    socket: tcp,
    host,
    servername: isIP(host) === 0 ? host : "",
    ALPNProtocols: ["http/1.1"],
    rejectUnauthorized: tls.verify,
    checkServerIdentity: checkIdentity,
    secureContext: tls.secureContext,
  })
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown, code = "proxy-tls-failed") => {
      const message = `connect to the proxy ${hostAndPort(host, port)}: TLS failed: ${why}; the request was not sent`
      reject(new FlowError("upstream", code, message, { cause }))
    }
    // The listener stays: errors of later records must find one.
    socket.on("error", (error) => {
      const refused = certificateFailure(socket, error)
      if (refused !== undefined) fail(refused, error, UNTRUSTED)
      else fail(`${messageOf(error)} (${systemCodeOf(error) ?? "unknown"})`, error)
    })
    socket.once("close", () => fail("it closed the connection"))
    socket.once("secureConnect", () => resolve(socket))
  })
}

async function connectThroughProxy(
  socket: Socket,
  proxy: ViaProxy,
  to: { host: string; port: number },
  limits: HeadLimits,
): Promise<void> {
  const authority = hostAndPort(to.host, to.port)
  const headers = new Headers({ Host: authority })
  const authorization = proxyAuthorization(proxy)
  if (authorization !== undefined) headers.set("Proxy-Authorization", authorization)
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
  throw fail("proxy-refused", refusalOf(head.status, head.reason, authorization !== undefined))
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
