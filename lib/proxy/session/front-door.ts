/**
 * What the proxy itself answers: requests that become no flow and that no addon sees, because the client may not send
 * any, or because they are meant for us. Works on any ClientStream, whatever protocol it came in.
 */
import { FlowError } from "../../base/errors.ts"
import { Headers, type HeadersInit } from "../../base/headers.ts"
import { statusText } from "../../http1/status-text.ts"
import { type Access, CHALLENGE } from "../access/access.ts"
import type { ClientStream } from "../streams.ts"
import type { ClientConnection } from "./client-connection.ts"
import { OWN_HOST, type Place } from "./place.ts"

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

/** The Server field (RFC 9110, 10.2.4) of what we say ourselves, by which `doctor` knows us from what repeats a question. */
export const OWN_SERVER = "llmproxy"

/** Answers with a whole body. For HEAD only its length is sent. */
function answer(stream: ClientStream, status: number, fields: HeadersInit, body: Buffer): void {
  const headers = new Headers(fields)
  headers.set("Server", OWN_SERVER)
  headers.set("Content-Length", String(body.length))
  stream.onAbort(() => {})
  stream.respond({ status, reason: statusText(status), headers }, body.length)
  if (stream.head.method !== "HEAD") stream.write(body)
  stream.end()
}

/** A request for one of our own pages. */
export interface OwnRequest {
  /** Below our own place: "/" is the page; empty where the last slash is missing. With the query. */
  readonly path: string
  /** Host as the client wrote it: one of our names where it came directly. */
  readonly host: string | undefined
  /** Through the proxy, or to its own address. */
  readonly through: boolean
  readonly secure: boolean
}

export interface OwnAnswer {
  readonly status: number
  readonly headers: Iterable<readonly [string, string]>
  readonly body: Buffer
}

/** What serves our own pages; undefined: nothing is served there. */
export type OwnPages = (request: OwnRequest) => Promise<OwnAnswer | undefined>

/** Whether a request is for ourselves, wherever it came. */
export function isOwn({ head }: ClientStream): boolean {
  return head.host === OWN_HOST
}

/** Answers a request for which `isOwn` holds. Rejects with what `pages` rejects with. */
export async function serveOwn(stream: ClientStream, pages: OwnPages | undefined): Promise<void> {
  const { method, path, headers, scheme } = stream.head
  if (method !== "GET" && method !== "HEAD") {
    const fields: [string, string][] = [
      ["Allow", "GET, HEAD"],
      ["Content-Type", "text/plain"],
    ]
    answer(stream, 405, fields, Buffer.from("llmproxy: this place is only to be read\n"))
    return
  }
  const host = headers.get("host")
  const request: OwnRequest = { path, host, through: !stream.baseUrl, secure: scheme === "https" }
  const found = await pages?.(request)
  if (found !== undefined) answer(stream, found.status, found.headers, found.body)
  else refuse(stream, new FlowError("client", "not-found", `nothing is served at ${path} here`, { status: 404 }))
}
