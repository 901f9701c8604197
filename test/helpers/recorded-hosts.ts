/**
 * Answers recorded from running local hosts (test/fixtures/hosts): `NAME.http` is head and body with the chunked coding
 * taken off, `NAME.rawhttp` is with it. Paths of models were shortened, so a Content-Length may be off; the body counts.
 */
import { readdirSync, readFileSync } from "node:fs"
import { DEFAULT_HEAD_LIMITS } from "../../lib/http1/message.ts"
import { ResponseParser } from "../../lib/http1/parser.ts"

const ROOT = new URL("../fixtures/hosts/", import.meta.url)

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
