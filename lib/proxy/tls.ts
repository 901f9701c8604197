/**
 * Answers a client's TLS handshake in this process: a leaf for the name that it asks for, on the same socket. There is
 * no second port. Nothing here may throw into Node's TLS callbacks, so the context is chosen before the wrapping.
 */
import type { Socket } from "node:net"
import { type SecureContext, TLSSocket } from "node:tls"
import type { Clock } from "../clock.ts"
import { FlowError } from "../errors.ts"

export interface TlsServerOptions {
  readonly clock: Clock
  readonly secureContext: SecureContext
  readonly alpn: readonly string[]
  /** The handshake has to be done by then. */
  readonly timeoutMs: number
  /** For messages. */
  readonly name: string
}

/** Resolves with the decrypted side after the handshake. Rejects with a FlowError that says what the client did. */
export function acceptTls(socket: Socket, options: TlsServerOptions): Promise<TLSSocket> {
  const tls = new TLSSocket(socket, {
    isServer: true,
    secureContext: options.secureContext,
    ALPNProtocols: [...options.alpn],
  })
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown) => {
      timer.cancel()
      tls.destroy()
      reject(new FlowError("client", "tls-failed", `TLS with the client for ${options.name} failed: ${why}`, { cause }))
    }
    const timer = options.clock.after(options.timeoutMs, () => fail(`no handshake within ${options.timeoutMs} ms`))
    const onClose = () => fail(`the client closed the connection${ADVICE}`)
    // The listener stays: errors of later records must find one.
    tls.on("error", (error) => fail(explain(error), error))
    tls.on("_tlsError", (error: Error) => fail(explain(error), error))
    tls.once("close", onClose)
    tls.once("end", onClose) // The listener allows half-open sockets: without this a client that leaves is not noticed.
    tls.once("secure", () => {
      timer.cancel()
      tls.off("close", onClose)
      tls.off("end", onClose)
      resolve(tls)
    })
  })
}

const ADVICE = "; if it does not trust llmproxy's CA, see `llmproxy ca trust`"

function explain(error: Error): string {
  if (/unknown ca|bad certificate|certificate unknown|certificate expired/i.test(error.message))
    return `the client does not accept our certificate (${alertOf(error.message)})${ADVICE}`
  if (/ECONNRESET|socket hang up|disconnected/i.test(error.message)) return `the client broke off${ADVICE}`
  return alertOf(error.message)
}

/** OpenSSL's text without its addresses and file names. */
function alertOf(message: string): string {
  return (
    /:([^:]*alert[^:]*):/i.exec(message)?.[1] ?? /error:[0-9A-F]+:[^:]*:[^:]*:([^:]+)/i.exec(message)?.[1] ?? message
  )
}
