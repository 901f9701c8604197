/**
 * A process of the demo: a program that asks OpenAI's chat API, as anybody's would. It asks api.openai.com through the
 * proxy (undici's ProxyAgent: Node's own fetch takes no proxy before 22.21), or the proxy's base URL. It reads answers
 * itself, with no client library, so that what it tells is what came.
 * Arguments: the proxy's URL, the file of its CA's certificate.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { type Dispatcher, fetch, ProxyAgent } from "undici"
import { messageOf } from "../../base/errors.ts"
import type { JsonValue } from "../../base/json.ts"
import { Assembler } from "../../llm/assemble.ts"
import type { StreamEvent } from "../../llm/dialect.ts"
import { dialectNamed } from "../../llm/index.ts"
import type { Completion } from "../../llm/model.ts"
import { type Door, type Job, type Outcome, onMessage, tell } from "./messages.ts"

/** Looks like OpenAI's and is none: the demo costs nobody anything. */
const KEY = "sk-demo-not-a-key"
const MODEL = "gpt-4o"
const CHAT = dialectNamed("openai-chat")

/** Where a request goes, and through what. */
interface Way {
  readonly baseUrl: string
  readonly dispatcher?: Dispatcher
}

type Answer = Pick<Outcome, "model" | "text" | "pieces" | "finishReason" | "tokensIn">

function waysTo(proxyUrl: string, caFile: string): Record<Door, Way> {
  const dispatcher = new ProxyAgent({ uri: proxyUrl, requestTls: { ca: readFileSync(caFile, "utf8") } })
  return {
    interception: { baseUrl: "https://api.openai.com/v1", dispatcher },
    "base URL": { baseUrl: `${proxyUrl}/v1` },
  }
}

async function ask({ baseUrl, ...through }: Way, { text, stream }: Job): Promise<Outcome> {
  const messages = [{ role: "user", content: text }]
  const streamed = stream ? { stream: true, stream_options: { include_usage: true } } : {}
  const body = Buffer.from(JSON.stringify({ model: MODEL, messages, ...streamed }))
  const headers = { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" }
  const response = await fetch(`${baseUrl}/chat/completions`, { method: "POST", headers, body, ...through })
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
  const answer = stream ? await readStream(response.body ?? []) : readWhole(await response.json())
  return {
    kind: "outcome",
    ...answer,
    bytes: body.length,
    sha256: createHash("sha256").update(body).digest("hex"),
    route: response.headers.get("x-llmproxy-route") ?? "",
    reason: response.headers.get("x-llmproxy-reason") ?? "",
  }
}

function readWhole(body: unknown): Answer {
  // response.json() gives JSON, which is what the dialect reads.
  const completion = CHAT.parseAnswer(body as JsonValue)?.completion
  if (completion === undefined) throw new Error("the answer is no chat completion")
  return told(completion, 1)
}

async function readStream(body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Answer> {
  const decoder = CHAT.decoder()
  const assembler = new Assembler()
  let pieces = 0
  const take = (events: readonly StreamEvent[]) => {
    for (const event of events) {
      if (event.error !== undefined) throw new Error(event.error.message)
      pieces += event.deltas.filter(({ type }) => type === "text").length
      assembler.push(event)
    }
  }
  for await (const bytes of body) take(decoder.feed(bytes))
  take(decoder.finish())
  if (!assembler.done) throw new Error("the stream broke off")
  return told(assembler.finish(false), pieces)
}

function told({ model = "", text, finishReason, usage }: Completion, pieces: number): Answer {
  return { model, text, pieces, finishReason: finishReason.unified, tokensIn: usage.inputTokens }
}

const [proxyUrl = "", caFile = ""] = process.argv.slice(2)
const ways = waysTo(proxyUrl, caFile)
onMessage((message) => {
  if (message.kind !== "job") return
  ask(ways[message.door], message).then(tell, (thrown: unknown) => {
    tell({ kind: "failed", message: messageOf(thrown) })
  })
})
