/**
 * A process of the demo: a program that uses the openai package, as anybody's would. It asks api.openai.com through the
 * proxy (undici's ProxyAgent: Node's own fetch takes no proxy before 22.21), or the proxy's base URL.
 * Arguments: the proxy's URL, the file of its CA's certificate.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import OpenAI from "openai"
import { ProxyAgent, fetch as undiciFetch } from "undici"
import { messageOf } from "../../errors.ts"
import { type Door, type Job, type Outcome, onMessage, tell } from "./messages.ts"

/** Looks like OpenAI's and is none: the demo costs nobody anything. */
const KEY = "sk-demo-not-a-key"
const MODEL = "gpt-4o"

/** A fetch that remembers what it sent and got. */
interface Recorded {
  readonly fetch: typeof fetch
  sent: Buffer
  headers: Headers
}

function recorded(send: (url: string, init: RequestInit) => Promise<Response>): Recorded {
  const record: Recorded = {
    sent: Buffer.alloc(0),
    headers: new Headers(),
    fetch: async (url, init = {}) => {
      record.sent = Buffer.from(String(init.body ?? ""))
      const response = await send(String(url), init)
      record.headers = response.headers
      return response
    },
  }
  return record
}

function makeClients(proxyUrl: string, caFile: string): Record<Door, { openai: OpenAI; record: Recorded }> {
  const dispatcher = new ProxyAgent({ uri: proxyUrl, requestTls: { ca: readFileSync(caFile, "utf8") } })
  const through = recorded(async (url, init) => {
    // undici and Node name the same things by types of their own.
    const asked = { ...init, dispatcher } as unknown as Parameters<typeof undiciFetch>[1]
    return (await undiciFetch(url, asked)) as unknown as Response
  })
  const direct = recorded((url, init) => fetch(url, init))
  const common = { apiKey: KEY, maxRetries: 0 }
  return {
    interception: {
      openai: new OpenAI({ ...common, baseURL: "https://api.openai.com/v1", fetch: through.fetch }),
      record: through,
    },
    "base URL": {
      openai: new OpenAI({ ...common, baseURL: `${proxyUrl}/v1`, fetch: direct.fetch }),
      record: direct,
    },
  }
}

async function ask({ openai, record }: { openai: OpenAI; record: Recorded }, job: Job): Promise<Outcome> {
  const messages = [{ role: "user" as const, content: job.text }]
  const answer = job.stream ? await askStream(openai, messages) : await askWhole(openai, messages)
  return {
    kind: "outcome",
    ...answer,
    bytes: record.sent.length,
    sha256: createHash("sha256").update(record.sent).digest("hex"),
    route: record.headers.get("x-llmproxy-route") ?? "",
    reason: record.headers.get("x-llmproxy-reason") ?? "",
  }
}

type Answer = Pick<Outcome, "model" | "text" | "pieces" | "finishReason" | "tokensIn">
type Messages = { role: "user"; content: string }[]

async function askWhole(openai: OpenAI, messages: Messages): Promise<Answer> {
  const { model, choices, usage } = await openai.chat.completions.create({ model: MODEL, messages })
  const text = choices[0]?.message.content ?? ""
  return { model, text, pieces: 1, finishReason: choices[0]?.finish_reason ?? "", tokensIn: usage?.prompt_tokens }
}

async function askStream(openai: OpenAI, messages: Messages): Promise<Answer> {
  const stream_options = { include_usage: true }
  const stream = await openai.chat.completions.create({ model: MODEL, messages, stream: true, stream_options })
  let [model, text, finishReason, pieces] = ["", "", "", 0]
  let tokensIn: number | undefined
  for await (const chunk of stream) {
    model = chunk.model
    tokensIn = chunk.usage?.prompt_tokens ?? tokensIn
    const [choice] = chunk.choices
    const content = choice?.delta.content ?? ""
    text += content
    if (content !== "") pieces += 1
    finishReason = choice?.finish_reason ?? finishReason
  }
  return { model, text, pieces, finishReason, tokensIn }
}

const [proxyUrl = "", caFile = ""] = process.argv.slice(2)
const clients = makeClients(proxyUrl, caFile)
onMessage((message) => {
  if (message.kind !== "job") return
  ask(clients[message.door], message).then(tell, (thrown: unknown) => {
    tell({ kind: "failed", message: messageOf(thrown) })
  })
})
