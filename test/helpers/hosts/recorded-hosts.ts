/**
 * Answers recorded from running local hosts (test/fixtures/hosts): `NAME.http` is head and body with the chunked coding
 * taken off, `NAME.rawhttp` is with it. Paths of models were shortened, so a Content-Length may be off; the body counts.
 * And the hosts themselves, as scripts that answer each question with what was recorded for it.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { DEFAULT_HEAD_LIMITS } from "../../../lib/http1/message.ts"
import { ResponseParser } from "../../../lib/http1/parser.ts"
import type { OriginRequest, ReplyScript } from "../../../lib/testing/origin.ts"

const ROOT = new URL("../../fixtures/hosts/", import.meta.url)

export const RECORDED_HOSTS = ["llama.cpp-b11669", "ollama-0.17.4", "vllm-0.32.0", "transformers-serve"] as const
export type RecordedHost = (typeof RECORDED_HOSTS)[number]

export interface RecordedAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: Buffer
}

export function recordedNames(host: RecordedHost): string[] {
  return readdirSync(new URL(`${host}/`, ROOT))
    .filter((name) => name.endsWith(".http"))
    .map((name) => name.slice(0, -".http".length))
}

export function recorded(host: RecordedHost, name: string): RecordedAnswer {
  const bytes = readFileSync(new URL(`${host}/${name}.http`, ROOT))
  const end = bytes.indexOf("\r\n\r\n")
  const head = bytes.subarray(0, end).toString("latin1")
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]),
    contentType: /^content-type: *([^\r\n]*)/im.exec(head)?.[1] ?? "",
    body: bytes.subarray(end + 4),
  }
}

/** The body of a recording that kept its chunked coding, read by our own parser, which throws where it is wrong. */
export function recordedChunks(host: RecordedHost, name: string): Buffer {
  const parser = new ResponseParser(DEFAULT_HEAD_LIMITS)
  parser.expect("POST")
  parser.feed(readFileSync(new URL(`${host}/${name}.rawhttp`, ROOT)))
  const pieces: Buffer[] = []
  for (let event = parser.next(); event !== undefined; event = parser.next())
    if (event.type === "data") pieces.push(event.bytes)
  return Buffer.concat(pieces)
}

/** Texts that stand for others in what a host answers: the name of a model, the size of a window. */
export type Replacements = readonly (readonly [from: string, to: string])[]

/** A recording as it goes over the wire: its head with the body's true length, or one chunk where it came in chunks. */
export function recordedBytes(host: RecordedHost, name: string, replaced: Replacements = []): Buffer {
  const bytes = readFileSync(new URL(`${host}/${name}.http`, ROOT))
  const end = bytes.indexOf("\r\n\r\n")
  const head = bytes.subarray(0, end).toString("latin1")
  let body = bytes.subarray(end + 4)
  for (const [from, to] of replaced) body = Buffer.from(body.toString("utf8").replaceAll(from, to))
  const isChunked = /^transfer-encoding: *chunked/im.test(head)
  const fields = head.replace(/^content-length:.*$/im, `Content-Length: ${body.length}`)
  const framed = isChunked
    ? [Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from("\r\n0\r\n\r\n")]
    : [body]
  return Buffer.concat([Buffer.from(`${fields}\r\n\r\n`, "latin1"), ...framed])
}

/** Which recording a page is, for GET. */
const PAGES: Readonly<Record<string, string>> = {
  "/v1/models": "models",
  "/api/v0/models": "api-v0-models",
  "/api/version": "api-version",
  "/api/ps": "ps",
  "/api/tags": "tags",
  "/props": "props",
  "/slots": "slots",
  "/version": "version",
  "/health": "health",
}

/** The recording of a page, where the host has one; undefined for one that was never asked for. */
export function recordedPage(path: string): string | undefined {
  return PAGES[path]
}

/** Which recording a question is, for POST; calls to the model have variants. */
const QUESTIONS: Readonly<Record<string, string>> = {
  "/api/show": "show",
  "/tokenize": "tokenize",
  "/v1/chat/completions/input_tokens": "input-tokens",
}
const CALLS: Readonly<Record<string, string>> = {
  "/v1/chat/completions": "chat",
  "/v1/completions": "completion",
  "/completion": "native-completion",
  "/api/chat": "api-chat",
  "/api/generate": "api-generate",
}

/** The recording with which the host answers. `overflows`: whether the prompt is too long for it. */
export function recordingFor(host: RecordedHost, { method, target, body }: OriginRequest, overflows = false): string {
  if (method === "GET") return PAGES[target] ?? "unknown"
  if (target === "/tokenize" && host === "vllm-0.32.0") return "tokenize-vllm"
  const call = CALLS[target]
  if (call === undefined) return QUESTIONS[target] ?? "unknown"
  const { stream, tools }: { stream?: boolean; tools?: unknown } = JSON.parse(body.toString())
  // Ollama's own API streams unless it is told not to.
  const isStream = stream === true || (stream === undefined && call.startsWith("api-"))
  const variants = overflows
    ? [isStream ? `${call}-overflow-stream` : "", `${call}-overflow`]
    : [tools === undefined ? "" : "tools", isStream ? `${call}-stream` : "", call]
  const found = variants.find((name) => name !== "" && existsSync(new URL(`${host}/${name}.http`, ROOT)))
  return found ?? "unknown"
}

/** The host, answering with its recordings. */
export function replayed(host: RecordedHost, overflows: () => boolean = () => false): ReplyScript {
  return (request, socket) => void socket.write(recordedBytes(host, recordingFor(host, request, overflows())))
}
