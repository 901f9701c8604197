/**
 * A scripted model host with OpenAI's endpoints: /v1/models, /v1/completions, /v1/chat/completions, streaming and not.
 * It understands nothing; it always gives its one answer, word by word. The local host and the cloud are both this.
 */

import { createHash } from "node:crypto"
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http"
import { isObject } from "../../base/json.ts"
import { type Seen, tell } from "./messages.ts"

/** Milliseconds between two words of a stream: slow enough to be seen to stream. */
const WORD_MS = 15

export interface HostScript {
  readonly host: "local" | "cloud"
  readonly model: string
  readonly answer: string
}

/** What the simulated local host and the scripted cloud say. */
export const LOCAL_SCRIPT: HostScript = {
  host: "local",
  model: "deepseek-coder-simulated",
  answer: "Simulated local host: nothing left this machine.",
}
export const CLOUD_SCRIPT: HostScript = {
  host: "cloud",
  model: "gpt-4o",
  answer: "Simulated cloud: too long for the local host.",
}

/** Serves the script, and tells the demo of each prompt. */
export function hostListener(script: HostScript, say: (seen: Seen) => void = tell): RequestListener {
  return (request, response) => void serve(script, request, response, say)
}

async function serve(
  script: HostScript,
  request: IncomingMessage,
  response: ServerResponse,
  say: (seen: Seen) => void,
): Promise<void> {
  const pieces: Buffer[] = []
  try {
    for await (const piece of request) if (Buffer.isBuffer(piece)) pieces.push(piece)
  } catch {
    return // The client left.
  }
  const body = Buffer.concat(pieces)
  const path = request.url ?? ""
  if (request.method === "GET" && path === "/v1/models") {
    sendJson(response, 200, { object: "list", data: [{ id: script.model, object: "model", owned_by: "simulated" }] })
    return
  }
  const isChat = path === "/v1/chat/completions"
  if (request.method !== "POST" || !(isChat || path === "/v1/completions")) {
    const error = { message: `nothing at ${path}`, type: "invalid_request_error", param: null, code: "not_found" }
    sendJson(response, 404, { error })
    return
  }
  say({
    kind: "seen",
    host: script.host,
    path,
    bytes: body.length,
    sha256: createHash("sha256").update(body).digest("hex"),
    key: request.headers.authorization !== undefined,
  })
  const answer = new ScriptedAnswer(script, isChat, body.length)
  if (wantsStream(body)) await sendStream(response, answer)
  else sendJson(response, 200, answer.whole())
}

function wantsStream(body: Buffer): boolean {
  try {
    const json: unknown = JSON.parse(body.toString("utf8"))
    return isObject(json) && json.stream === true
  } catch {
    return false
  }
}

function sendJson(response: ServerResponse, status: number, json: object): void {
  response.writeHead(status, { "content-type": "application/json" })
  response.end(JSON.stringify(json))
}

async function sendStream(response: ServerResponse, answer: ScriptedAnswer): Promise<void> {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" })
  for (const event of answer.events()) {
    if (response.destroyed) return
    response.write(`data: ${JSON.stringify(event)}\n\n`)
    await new Promise((resolve) => setTimeout(resolve, WORD_MS))
  }
  response.end("data: [DONE]\n\n")
}

/** One answer in the shapes of both endpoints. */
class ScriptedAnswer {
  readonly #script: HostScript
  readonly #isChat: boolean
  readonly #usage: object

  constructor(script: HostScript, isChat: boolean, bytes: number) {
    this.#script = script
    this.#isChat = isChat
    // About what a tokenizer would say: nobody bills by it.
    const prompt_tokens = Math.ceil(bytes / 4)
    const completion_tokens = this.#words().length
    this.#usage = { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
  }

  whole(): object {
    const { answer } = this.#script
    const content = this.#isChat ? { message: { role: "assistant", content: answer } } : { text: answer }
    const object = this.#isChat ? "chat.completion" : "text_completion"
    return { ...this.#head(object), choices: [{ index: 0, ...content, finish_reason: "stop" }], usage: this.#usage }
  }

  *events(): Generator<object, void> {
    const head = this.#head(this.#isChat ? "chat.completion.chunk" : "text_completion")
    for (const word of this.#words()) {
      const content = this.#isChat ? { delta: { content: word } } : { text: word }
      yield { ...head, choices: [{ index: 0, ...content, finish_reason: null }] }
    }
    const end = this.#isChat ? { delta: {} } : { text: "" }
    yield { ...head, choices: [{ index: 0, ...end, finish_reason: "stop" }] }
    yield { ...head, choices: [], usage: this.#usage }
  }

  #head(object: string): object {
    return { id: "simulated-1", object, created: 1_767_225_600, model: this.#script.model }
  }

  #words(): string[] {
    return this.#script.answer.match(/\S+\s*/g) ?? []
  }
}
