/**
 * What the proxy itself answers: requests that become no flow and that no addon sees, because the client may not send
 * any, or because they are meant for us. Works on any ClientStream, whatever protocol it came in.
 */
import type { FlowError } from "../errors.ts"
import { Headers, type HeadersInit } from "../headers.ts"
import { statusText } from "../http1/status-text.ts"
import { type Access, CHALLENGE } from "./access.ts"
import type { ClientConnection } from "./client-connection.ts"
import type { Place } from "./place.ts"
import type { ClientStream } from "./streams.ts"

/**
 * Whether the client may send what stands in `headers`: undefined, or the error that it gets. Notes the user on the
 * connection. Inside a tunnel whoever opened it has been asked already.
 */
export async function authorise(
  access: Access,
  connection: ClientConnection,
  place: Place,
  headers: Headers,
): Promise<FlowError | undefined> {
  if (!access.required || (place.kind === "tunnel" && connection.user !== undefined)) return undefined
  const checked = await access.checkHeader(headers, connection.address)
  if (!("user" in checked)) return checked
  connection.user = checked.user
  headers.delete("proxy-authorization") // It was for us alone: no addon, no recording and no upstream sees it.
  return undefined
}

/** Answers a request with an error in plain text; a 407 has its challenge. */
export function refuse(stream: ClientStream, error: FlowError): void {
  const text = Buffer.from(`llmproxy: ${error.message}\n`)
  const challenge: [string, string][] = error.status === 407 ? [["Proxy-Authenticate", CHALLENGE]] : []
  answer(stream, error.status, [["Content-Type", "text/plain; charset=utf-8"], ...challenge], text)
}

/** Answers with a whole body. For HEAD only its length is sent. */
export function answer(stream: ClientStream, status: number, fields: HeadersInit, body: Buffer): void {
  const headers = new Headers(fields)
  headers.set("Content-Length", String(body.length))
  stream.onAbort(() => {})
  stream.respond({ status, reason: statusText(status), headers }, body.length)
  if (stream.head.method !== "HEAD") stream.write(body)
  stream.end()
}
