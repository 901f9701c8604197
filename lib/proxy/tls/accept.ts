/**
 * Answers a client's TLS handshake in this process: a leaf for the name that it asks for, on the same socket. There is
 * no second port. Nothing here may throw into Node's TLS callbacks, so the context is chosen before the wrapping.
 */
import type { Socket } from "node:net"
import { type SecureContext, TLSSocket } from "node:tls"
import type { Clock } from "../../base/clock.ts"
import { FlowError } from "../../base/errors.ts"
import type { KeyLogging } from "../settings.ts"

export interface TlsServerOptions {
  readonly clock: Clock
  readonly secureContext: SecureContext
  readonly alpn: readonly string[]
  /** The handshake has to be done by then. */
  readonly timeoutMs: number
  /** Logs the connection's secrets. */
  readonly keyLog?: KeyLogging | undefined
  /** For messages. */
  readonly name: string
}

/** The error's code when the client does not accept our certificate. */
export const CERTIFICATE_REJECTED = "certificate-rejected"

/** Resolves with the decrypted side after the handshake. Rejects with a FlowError that says what the client did. */
export function acceptTls(socket: Socket, options: TlsServerOptions): Promise<TLSSocket> {
  const tls = new TLSSocket(socket, {
    isServer: true,
    secureContext: options.secureContext,
    ALPNProtocols: [...options.alpn],
  })
  options.keyLog?.watch(tls)
  const before = socket.bytesWritten
  return new Promise((resolve, reject) => {
    const fail = ({ code, why }: Failure, cause?: unknown) => {
      timer.cancel()
      tls.destroy()
      // What says it all is the pinned host's line; the rest needs the name.
      const message = code === CERTIFICATE_REJECTED ? why : `TLS with the client for ${options.name} failed: ${why}`
      reject(new FlowError("client", code, message, { cause }))
    }
    const timer = options.clock.after(options.timeoutMs, () =>
      fail({ code: "tls-failed", why: `no handshake within ${options.timeoutMs} ms` }),
    )
    const leave = (what: string, cause?: unknown) => {
      // Who has seen our certificate and says no more does not want it.
      const seen = socket.bytesWritten > before
      fail(
        {
          code: seen ? CERTIFICATE_REJECTED : "tls-failed",
          why: seen ? `it ${what} when it saw it` : `the client ${what}`,
        },
        cause,
      )
    }
    const onError = (error: Error) => {
      if (/ECONNRESET|socket hang up|disconnected/i.test(error.message)) leave("broke off", error)
      else fail(explain(error), error)
    }
    const onClose = () => leave("closed the connection")
    // The listener stays: errors of later records must find one.
    tls.on("error", onError)
    tls.on("_tlsError", onError)
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

interface Failure {
  readonly code: string
  readonly why: string
}

function explain(error: Error): Failure {
  const why = alertOf(error.message)
  const rejected = /alert (?:unknown ca|bad certificate|certificate unknown|certificate expired)/i.test(why)
  return { code: rejected ? CERTIFICATE_REJECTED : "tls-failed", why }
}

/** OpenSSL's text without its addresses and file names. */
function alertOf(message: string): string {
  return (
    /:([^:]*alert[^:]*):/i.exec(message)?.[1] ?? /error:[0-9A-F]+:[^:]*:[^:]*:([^:]+)/i.exec(message)?.[1] ?? message
  )
}
