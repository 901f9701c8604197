/**
 * The world behind the proxy in end-to-end tests: a local model host and a cloud that is api.openai.com as far as a
 * client can tell, both scripted, with a certificate of a CA that only the proxy is told to trust.
 */
import { mkdir, realpath, writeFile } from "node:fs/promises"
import type { Socket } from "node:net"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import type { Test } from "tap"
import type { OriginRequest, ReplyScript, ScriptedOrigin } from "../../../lib/testing/origin.ts"
import { sharedCertificates, startOrigin } from "../test-proxy.ts"

export const CLOUD_NAME = "api.openai.com"

/** What each host says, piece by piece: one event a piece when streamed. */
export const LOCAL_PIECES = ["The ", "local ", "model ", "says ", "grüß ", "dich."]
export const CLOUD_PIECES = ["The ", "cloud ", "says ", "“hello” ", "✓"]
export const LOCAL_TEXT = LOCAL_PIECES.join("")
export const CLOUD_TEXT = CLOUD_PIECES.join("")

const LOCAL_MODEL = "deepseek-coder-6.7b"
export const CLOUD_MODEL = "gpt-4o-2024-08-06"

/** More words than the conductor's usual threshold has tokens. */
export const LARGE_PROMPT = "many words ".repeat(5_000)
export const SMALL_PROMPT = "Say hello."

export interface ChatHosts {
  readonly cloud: ScriptedOrigin
  readonly local: ScriptedOrigin
  /** What `llmproxy` has to be told to reach them, and where its confdir is. */
  readonly flags: readonly string[]
  /** A folder that is empty but for `conf` and what the test puts there; in no path of it is a symbolic link. */
  readonly folder: string
}

export async function startChatHosts(t: Test): Promise<ChatHosts> {
  const cloud = await startOrigin(t, chatHost(CLOUD_MODEL, CLOUD_PIECES), CLOUD_NAME)
  const local = await startOrigin(t, chatHost(LOCAL_MODEL, LOCAL_PIECES))
  const { folder, flags } = await proxyFolder(t)
  const conductor = ["-s", "addons/conductor.ts", "--set", `conductor.localUrl=http://127.0.0.1:${local.port}/v1`]
  return { cloud, local, folder, flags: [...flags, ...conductor, ...toPort(CLOUD_NAME, cloud.port)] }
}

/** A folder for a test of the command, and the flags that every one of them needs. */
export async function proxyFolder(t: Test): Promise<{ folder: string; flags: string[] }> {
  const folder = await realpath(t.testdir())
  await mkdir(join(folder, "conf"), { mode: 0o700 })
  const ca = join(folder, "conf", "upstream-ca.pem")
  await writeFile(ca, (await sharedCertificates()).ca)
  return { folder, flags: ["--confdir", join(folder, "conf"), "--upstream-ca", ca] }
}

/** Flags that connect a name's HTTPS port to one of this machine's. */
export function toPort(name: string, port: number): string[] {
  return ["--connect-to", `${name}:443:127.0.0.1:${port}`]
}

/** A host with OpenAI's pages for models, chats and completions; it compresses for clients that say they take it. */
export function chatHost(model: string, pieces: readonly string[]): ReplyScript {
  return (request, socket) => {
    const isModels = request.method === "GET" && request.target === "/v1/models"
    if (isModels)
      return send(socket, request, { object: "list", data: [{ id: model, object: "model", owned_by: "test" }] })
    const isChat = request.target === "/v1/chat/completions"
    if (request.method !== "POST" || !(isChat || request.target === "/v1/completions"))
      return send(socket, request, { error: { message: `nothing at ${request.target}` } }, 404)
    if (isStreamed(request)) sendEvents(socket, request, answerEvents(model, pieces, isChat))
    else send(socket, request, wholeAnswer(model, pieces.join(""), isChat))
  }
}

function isStreamed({ body }: OriginRequest): boolean {
  return /"stream": *true/.test(body.toString("utf8"))
}

const USAGE = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 }

function wholeAnswer(model: string, text: string, isChat: boolean): object {
  const content = isChat ? { message: { role: "assistant", content: text } } : { text }
  const object = isChat ? "chat.completion" : "text_completion"
  const choices = [{ index: 0, ...content, finish_reason: "stop" }]
  return { id: "answer-1", object, created: 1_767_225_600, model, choices, usage: USAGE }
}

/** The events of a streamed answer, each with its blank line; the last is [DONE]. */
export function answerEvents(model: string, pieces: readonly string[], isChat: boolean): string[] {
  const object = isChat ? "chat.completion.chunk" : "text_completion"
  const events = [...pieces, undefined].map((piece) => {
    const content = isChat ? { delta: piece === undefined ? {} : { content: piece } } : { text: piece ?? "" }
    const choices = [{ index: 0, ...content, finish_reason: piece === undefined ? "stop" : null }]
    return `data: ${JSON.stringify({ id: "answer-1", object, created: 1_767_225_600, model, choices })}\n\n`
  })
  return [...events, "data: [DONE]\n\n"]
}

const SSE_FIELDS = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
export const SSE_HEAD = `${SSE_FIELDS}\r\n`
export const LAST_CHUNK = "0\r\n\r\n"

export function chunk(data: string | Buffer): Buffer {
  const bytes = Buffer.from(data)
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")])
}

function sendEvents(socket: Socket, request: OriginRequest, events: readonly string[]): void {
  const coding = codingFor(request)
  socket.write(`${SSE_FIELDS}${coding}\r\n`)
  if (coding === "") for (const event of events) socket.write(chunk(event))
  else socket.write(chunk(gzipSync(events.join(""))))
  socket.write(LAST_CHUNK)
}

function send(socket: Socket, request: OriginRequest, json: object, status = 200): void {
  const coding = codingFor(request)
  const text = Buffer.from(JSON.stringify(json))
  const bytes = coding === "" ? text : gzipSync(text)
  const fields = `Content-Type: application/json\r\n${coding}Content-Length: ${bytes.length}\r\n`
  socket.write(Buffer.concat([Buffer.from(`HTTP/1.1 ${status} Answer\r\n${fields}\r\n`), bytes]))
}

function codingFor({ head }: OriginRequest): string {
  return /^accept-encoding:.*\bgzip\b/im.test(head) ? "Content-Encoding: gzip\r\n" : ""
}
