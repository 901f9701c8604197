/**
 * Decides by the first bytes what a client speaks, without taking them: TLS, HTTP/1, HTTP/2 in clear, or something that
 * is not ours to read. SMTP and the like also start with a word, so HTTP needs its version at the end of the line.
 */
import type { Duplex } from "node:stream"
import { TLSSocket } from "node:tls"
import type { Clock } from "../../base/clock.ts"
import { wholeHello } from "./client-hello.ts"

/** A request line that has not ended by then is taken for HTTP only if it begins like one. */
const LINE_BYTES_MAX = 16_384
/** How a request line begins that is longer than that. */
const LONG_LINE = /^[\r\n]*[A-Za-z-]{1,32} (?:\/|https?:\/\/)/
/** The LF behind it may be in the next segment. */
const HTTP2_PREFACE = "PRI * HTTP/2.0\r"

const GONE = "the client closed the connection"

export type Peeked =
  /** `hello`: the ClientHello as one record. `bytes` are back in the socket. */
  | { readonly kind: "tls"; readonly hello: Buffer }
  /** `bytes` were taken from the socket: the parser wants them. */
  | { readonly kind: "http"; readonly bytes: Buffer }
  | { readonly kind: "http2" | "opaque" }
  /** Nothing came within `silentMs`. */
  | { readonly kind: "silent" }
  /** The client left, stayed unfinished for `timeoutMs`, or sent a broken handshake. */
  | { readonly kind: "closed"; readonly why: string }

export interface PeekOptions {
  readonly clock: Clock
  /** The first bytes have to be whole by then. */
  readonly timeoutMs: number
  /** Resolve with "silent" when nothing at all has come by then. */
  readonly silentMs?: number
}

/** Leaves the socket paused. */
export function peek(socket: Duplex, options: PeekOptions): Promise<Peeked> {
  if (socket.destroyed) return Promise.resolve({ kind: "closed", why: GONE })
  return new Promise((resolve) => {
    let seen: Buffer = Buffer.alloc(0)
    const finish = (result: Peeked) => {
      timer.cancel()
      silence?.cancel()
      socket.off("data", onData)
      socket.off("end", onGone)
      socket.off("close", onGone)
      socket.pause()
      // What has ended takes nothing back, and nobody reads what is closed.
      if (result.kind !== "http" && result.kind !== "closed" && seen.length > 0) socket.unshift(seen)
      resolve(result)
    }
    const onGone = () => finish({ kind: "closed", why: GONE })
    const onData = (bytes: Buffer) => {
      silence?.cancel()
      seen = seen.length === 0 ? bytes : Buffer.concat([seen, bytes])
      const result = classify(seen)
      if (result !== undefined) finish(result)
    }
    const timer = options.clock.after(options.timeoutMs, () => {
      finish({ kind: "closed", why: `the first bytes were not whole within ${options.timeoutMs} ms` })
    })
    const silence =
      options.silentMs === undefined
        ? undefined
        : options.clock.after(options.silentMs, () => finish({ kind: "silent" }))
    socket.on("data", onData)
    socket.once("end", onGone)
    socket.once("close", onGone)
    socket.resume()
  })
}

/** What `bytes` begin; undefined while that cannot be told. */
export function classify(bytes: Buffer): Peeked | undefined {
  const first = bytes[0]
  if (first === undefined) return undefined
  if (first === 0x16) return classifyTls(bytes)
  if (!isTokenByte(first) && first !== 0x0d && first !== 0x0a) return { kind: "opaque" }
  const text = bytes.toString("latin1", 0, LINE_BYTES_MAX)
  if (text.startsWith(HTTP2_PREFACE)) return { kind: "http2" }
  const lineEnd = text.search(/[^\r\n][\r\n]/)
  if (lineEnd < 0) {
    if (bytes.length >= LINE_BYTES_MAX && LONG_LINE.test(text)) return { kind: "http", bytes }
    if (bytes.length >= LINE_BYTES_MAX || /^[\r\n]*[^\r\n ]{33}/.test(text)) return { kind: "opaque" }
    return undefined
  }
  const line = text.slice(0, lineEnd + 1).trimStart()
  return / HTTP\/\d/.test(line) && !line.startsWith("PRI ") ? { kind: "http", bytes } : { kind: "opaque" }
}

function classifyTls(bytes: Buffer): Peeked | undefined {
  if (bytes.length >= 2 && bytes[1] !== 3) return { kind: "opaque" }
  try {
    const hello = wholeHello(bytes)
    return hello === undefined ? undefined : { kind: "tls", hello }
  } catch (thrown) {
    return { kind: "closed", why: thrown instanceof Error ? thrown.message : "broken TLS handshake" }
  }
}

function isTokenByte(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x2d
  )
}

/** What was seen, unless the client agreed on HTTP/2 in its handshake and speaks something else (RFC 7301 section 3.2). */
export function asAgreed(socket: Duplex, peeked: Peeked): Peeked {
  if (!(socket instanceof TLSSocket) || socket.alpnProtocol !== "h2") return peeked
  const { kind } = peeked
  if (kind === "http2" || kind === "silent" || kind === "closed") return peeked
  return { kind: "closed", why: "it agreed on HTTP/2 and speaks something else" }
}
