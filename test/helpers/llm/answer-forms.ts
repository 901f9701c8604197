/**
 * One right answer, "a secret word", in every framing in which servers send it, and every label that it may bear: what an
 * answer is, its bytes say.
 */

export interface AnswerForm {
  readonly title: string
  readonly path: string
  readonly body: string
  /** Whether it comes as events or lines. */
  readonly isStream: boolean
}

/** Content types that servers and gateways put before answers, right and wrong. */
export const LABELS: readonly (string | undefined)[] = [
  undefined,
  "text/plain; charset=utf-8",
  "application/json",
  "text/event-stream",
  "application/x-ndjson",
  "text/html",
  "application/octet-stream",
]

export const SECRET_TEXT = "a secret word"
const BOM = "\uFEFF"

const CHAT = "/v1/chat/completions"
const MESSAGES = "/v1/messages"
const OLLAMA = "/api/chat"

const chatWhole = {
  id: "c1",
  object: "chat.completion",
  created: 7,
  model: "up",
  choices: [{ index: 0, message: { role: "assistant", content: SECRET_TEXT }, finish_reason: "stop" }],
  usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
}
const chatPieces = [{ content: "a " }, { content: "secret" }, { content: " word" }, {}].map((delta, at) => ({
  id: "c1",
  object: "chat.completion.chunk",
  created: 7,
  model: "up",
  choices: [{ index: 0, delta, finish_reason: at === 3 ? "stop" : null }],
  ...(at === 3 ? { usage: chatWhole.usage } : {}),
}))
const message = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "up",
  content: [{ type: "text", text: SECRET_TEXT }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage: { input_tokens: 3, output_tokens: 4 },
}
const messageEvents = [
  {
    type: "message_start",
    message: { ...message, content: [], stop_reason: null, usage: { input_tokens: 3, output_tokens: 1 } },
  },
  { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  ...["a ", "secret", " word"].map((text) => ({
    type: "content_block_delta",
    index: 0,
    delta: { type: "text_delta", text },
  })),
  { type: "content_block_stop", index: 0 },
  { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 4 } },
  { type: "message_stop" },
]
const ollamaWhole = {
  model: "up",
  created_at: "2026-01-02T03:04:05Z",
  message: { role: "assistant", content: SECRET_TEXT },
  done: true,
  done_reason: "stop",
  prompt_eval_count: 3,
  eval_count: 4,
}
const ollamaPieces = ["a ", "secret", " word", ""].map((content, at) => ({
  ...(at === 3 ? ollamaWhole : { model: "up", created_at: ollamaWhole.created_at, done: false }),
  message: { role: "assistant", content },
}))

const lines = (pieces: readonly object[]) => pieces.map((json) => `${JSON.stringify(json)}\n`).join("")
const events = (pieces: readonly object[]) => pieces.map((json) => `data: ${JSON.stringify(json)}\n\n`).join("")
const named = messageEvents.map((json) => `event: ${json.type}\ndata: ${JSON.stringify(json)}\n\n`).join("")
const chatEvents = `${events(chatPieces)}data: [DONE]\n\n`

const whole = (title: string, path: string, json: object): AnswerForm[] => [
  { title: `${title} JSON`, path, body: JSON.stringify(json), isStream: false },
  { title: `${title} JSON with a line end`, path, body: `${JSON.stringify(json)}\r\n`, isStream: false },
  { title: `${title} JSON behind a byte order mark`, path, body: BOM + JSON.stringify(json), isStream: false },
  {
    title: `${title} JSON over several lines`,
    path,
    body: `\n${JSON.stringify(json, undefined, 2)}\n`,
    isStream: false,
  },
]

export const ANSWER_FORMS: readonly AnswerForm[] = [
  ...whole("chat", CHAT, chatWhole),
  { title: "chat events", path: CHAT, body: chatEvents, isStream: true },
  { title: "chat events behind a comment", path: CHAT, body: `: hi\r\n\r\n${chatEvents}`, isStream: true },
  { title: "chat events behind a byte order mark", path: CHAT, body: BOM + chatEvents, isStream: true },
  { title: "chat lines", path: CHAT, body: lines(chatPieces), isStream: true },
  { title: "chat lines behind a byte order mark", path: CHAT, body: BOM + lines(chatPieces), isStream: true },
  ...whole("messages", MESSAGES, message),
  { title: "messages events", path: MESSAGES, body: named, isStream: true },
  { title: "messages lines", path: MESSAGES, body: lines(messageEvents), isStream: true },
  ...whole("Ollama", OLLAMA, ollamaWhole),
  { title: "Ollama lines", path: OLLAMA, body: lines(ollamaPieces), isStream: true },
  { title: "Ollama lines with CRLF", path: OLLAMA, body: lines(ollamaPieces).replaceAll("\n", "\r\n"), isStream: true },
  { title: "Ollama events", path: OLLAMA, body: events(ollamaPieces), isStream: true },
]

/** A response with that body and label, over HTTP/1.1. */
export function labelled(body: string, label: string | undefined, fields = ""): Buffer {
  const bytes = Buffer.from(body)
  const type = label === undefined ? "" : `Content-Type: ${label}\r\n`
  return Buffer.concat([
    Buffer.from(`HTTP/1.1 200 OK\r\n${type}${fields}Content-Length: ${bytes.length}\r\n\r\n`),
    bytes,
  ])
}
