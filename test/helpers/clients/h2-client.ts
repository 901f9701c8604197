/**
 * Node's own HTTP/2 client for tests: calls whose answers are read whole, with how they ended.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionOptions,
  connect,
  type OutgoingHttpHeaders,
  type SecureClientSessionOptions,
} from "node:http2"
import type { Test } from "tap"

export interface H2Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: Buffer
  readonly text: string
  /** 1xx, in order. */
  readonly informational: readonly Readonly<Record<string, unknown>>[]
  readonly trailers: Readonly<Record<string, unknown>> | undefined
  /** With what the stream was closed; 0 is a clean end. */
  readonly code: number
}

/** A session that the test closes, once it knows the proxy's settings. */
export async function openSession(
  t: Test,
  url: string,
  options: ClientSessionOptions | SecureClientSessionOptions = {},
): Promise<ClientHttp2Session> {
  const session = connect(url, options)
  t.teardown(() => session.destroy())
  session.on("error", () => {}) // Tests of broken sessions look at how it closed.
  await new Promise<void>((resolve, reject) => {
    session.once("remoteSettings", () => resolve())
    session.once("close", () => reject(new Error("the session closed before its settings came")))
  })
  return session
}

/** Sends a request and reads its answer. A string is a body; a function writes one. */
export function call(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string | Buffer | ((stream: ClientHttp2Stream) => void),
): Promise<H2Answer> {
  const stream = session.request(headers, { endStream: body === undefined, waitForTrailers: false })
  const answer = answerOf(stream)
  if (typeof body === "function") body(stream)
  else if (body !== undefined) stream.end(body)
  return answer
}

/** Resolves when the stream has closed, however it did. */
export function answerOf(stream: ClientHttp2Stream): Promise<H2Answer> {
  const pieces: Buffer[] = []
  const informational: Record<string, unknown>[] = []
  let headers: Record<string, unknown> = {}
  let trailers: Record<string, unknown> | undefined
  stream.on("headers", (fields) => informational.push({ ...fields }))
  stream.on("response", (fields) => {
    headers = { ...fields }
  })
  stream.on("trailers", (fields) => {
    trailers = { ...fields }
  })
  stream.on("data", (bytes: Buffer) => pieces.push(bytes))
  stream.on("error", () => {}) // The code says it.
  return new Promise((resolve) => {
    stream.once("close", () => {
      const body = Buffer.concat(pieces)
      const status = Number(headers[":status"] ?? 0)
      const code = stream.rstCode ?? 0
      resolve({ status, headers, body, text: body.toString("latin1"), informational, trailers, code })
    })
  })
}
