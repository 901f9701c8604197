/**
 * The benchmark's origin: the same for every peer, and as cheap as it can be. It speaks TLS, answers a request with
 * fixed bytes, and streams server-sent events at a given pace, each with the time at which it was written.
 * Prints its port on stdout; ends with its parent.
 */
import { readFileSync } from "node:fs"
import { createServer, type TLSSocket } from "node:tls"

/** One kilobyte of answer, the same for each request. */
const ANSWER = JSON.stringify({ id: "x".repeat(24), text: "lorem ipsum ".repeat(80) }).padEnd(1_024, " ")
const ANSWER_BYTES = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nServer: origin\r\nX-Request-Id: req_0123456789\r\nContent-Length: ${ANSWER.length}\r\n\r\n${ANSWER}`,
)
/** The same as a chat's answer, with what it has used. */
const CHAT = JSON.stringify({
  id: "chatcmpl-0123456789abcdef",
  object: "chat.completion",
  created: 1_790_000_000,
  model: "gpt-4o",
  choices: [
    {
      index: 0,
      message: { role: "assistant", content: "lorem ipsum ".repeat(55), refusal: null },
      logprobs: null,
      finish_reason: "stop",
    },
  ],
  usage: { prompt_tokens: 334, completion_tokens: 112, total_tokens: 446 },
})
const CHAT_BYTES = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nServer: origin\r\nX-Request-Id: req_0123456789\r\nContent-Length: ${CHAT.length}\r\n\r\n${CHAT}`,
)
const STREAM_HEAD =
  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"

const [certFile = "", keyFile = ""] = process.argv.slice(2)

function serve(socket: TLSSocket): void {
  let seen: Buffer = Buffer.alloc(0)
  socket.setNoDelay(true)
  socket.on("error", () => socket.destroy())
  socket.on("data", (bytes: Buffer) => {
    seen = seen.length === 0 ? bytes : Buffer.concat([seen, bytes])
    for (;;) {
      const headEnd = seen.indexOf("\r\n\r\n")
      if (headEnd < 0) return
      const head = seen.toString("latin1", 0, headEnd)
      const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0)
      if (seen.length < headEnd + 4 + length) return
      seen = seen.subarray(headEnd + 4 + length)
      answer(head.split(" ", 2)[1] ?? "/", socket)
    }
  })
}

function answer(path: string, socket: TLSSocket): void {
  const url = new URL(path, "https://origin")
  const rate = Number(url.searchParams.get("rate") ?? 0)
  if (rate === 0) socket.write(url.pathname.endsWith("/chat/completions") ? CHAT_BYTES : ANSWER_BYTES)
  else stream(socket, rate, Number(url.searchParams.get("events") ?? 0))
}

/** `events` events at `rate` a second; 0 events: one event, then silence with the stream open. */
function stream(socket: TLSSocket, rate: number, events: number): void {
  socket.write(STREAM_HEAD, "latin1")
  let sent = 0
  const send = () => {
    socket.write(event(sent++))
    if (sent < events) return
    clearInterval(timer)
    if (events > 0) socket.write("e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n", "latin1")
  }
  // Streams must not all tick at once: a burst would measure the burst.
  const timer = setInterval(send, 1_000 / rate)
  socket.once("close", () => clearInterval(timer))
  if (events === 0) {
    clearInterval(timer)
    socket.write(event(0))
  }
}

function event(index: number): string {
  const at = process.hrtime.bigint().toString()
  const json = `{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1790000000,"model":"gpt-4o","system_fingerprint":"fp_0","at":"${at}","choices":[{"index":0,"delta":{"content":" word${index}"},"logprobs":null,"finish_reason":null}]}`
  const data = `data: ${json}\n\n`
  return `${data.length.toString(16)}\r\n${data}\r\n`
}

const server = createServer({ key: readFileSync(keyFile), cert: readFileSync(certFile) }, serve)
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (typeof address === "object" && address !== null) process.stdout.write(`${address.port}\n`)
})
process.stdin.resume().on("end", () => process.exit(0))
