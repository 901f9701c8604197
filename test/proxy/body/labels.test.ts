/**
 * Bytes before labels: what an answer is, its first bytes say, not its Content-Type nor what the client has asked for.
 */
import assert from "node:assert/strict"
import { type Test, test } from "tap"
import type { DeltaTransform, Flow } from "../../../lib/api/flow.ts"
import { decoderFor } from "../../../lib/llm/framing/reframe.ts"
import { dialectFor } from "../../../lib/llm/index.ts"
import type { Completion } from "../../../lib/llm/model.ts"
import {
  addon,
  CHAT,
  chatEvent,
  chatJson,
  chunk,
  DONE,
  FINISH,
  gate,
  origin,
  request,
  startHost,
} from "../../helpers/hosts/proxy-host.ts"
import { ANSWER_FORMS, type AnswerForm, LABELS, labelled, SECRET_TEXT } from "../../helpers/llm/answer-forms.ts"
import { assembled } from "../../helpers/llm/dialect-fixtures.ts"

const REDACTS: DeltaTransform = (delta) =>
  delta.type === "text" ? { ...delta, text: delta.text.replaceAll("secret", "***") } : delta
/** It listens to requests, too: what was asked for is known only then. */
const redactor = addon("redactor", {
  llmRequest() {},
  responseHeaders: (flow) => flow.response?.transformDeltas(REDACTS),
})
const utf8 = ({ text }: { text: string }) => Buffer.from(text, "latin1").toString("utf8")

const asking = (stream: boolean) =>
  JSON.stringify({ model: "m", max_tokens: 9, messages: [{ role: "user", content: "hi" }], stream })

/** What an answer in that form says, read as its bytes are framed. */
function textOf({ path, isStream }: AnswerForm, body: string): string {
  const dialect = dialectFor("POST", path)
  assert.ok(dialect)
  if (!isStream) return dialect.parseAnswer(JSON.parse(body.replace("\uFEFF", "")))?.completion?.text ?? "no answer"
  const decoder = decoderFor(dialect, /^\uFEFF?\{/.test(body) ? "lines" : "sse")
  return assembled([...decoder.feed(Buffer.from(body)), ...decoder.finish()]).finish(false).text
}

/** An upstream that answers each request in the form and under the label that its query names. */
async function everyForm(t: Test) {
  return origin(t, ({ target }, socket) => {
    const [form, label] = (new URL(target, "http://x").searchParams.get("as") ?? "").split(",").map(Number)
    socket.write(labelled(ANSWER_FORMS[form ?? -1]?.body ?? "", LABELS[label ?? -1]))
  })
}

function* everyCell(): Generator<{
  form: AnswerForm
  query: string
  stream: boolean
  title: string
  label: string | undefined
}> {
  for (const [at, form] of ANSWER_FORMS.entries())
    for (const [number, label] of LABELS.entries())
      for (const stream of [true, false])
        yield {
          form,
          label,
          stream,
          query: `?as=${at},${number}`,
          title: `${form.title} as ${label}, ${stream ? "" : "not "}asked for`,
        }
}

/** One line of Ollama's, asked for as a stream and labelled as one, is a stream of one event. */
function isOneLine({ title }: AnswerForm, label: string | undefined, stream: boolean): boolean {
  return label === "application/x-ndjson" && stream && /^Ollama JSON( with| behind|$)/.test(title)
}

test("an answer is read and leaves byte for byte, whatever its label and the question were", async (t) => {
  const seen: { text: string; streamed: boolean; usage: number | undefined; deltas: string }[] = []
  let deltas = ""
  const listener = addon("listener", {
    llmDelta(_, delta) {
      if (delta.type === "text") deltas += delta.text
    },
    llmResponse(_: Flow, { text, streamed, usage }: Completion) {
      seen.push({ text, streamed, usage: usage.outputTokens, deltas })
      deltas = ""
    },
  })
  const host = await startHost(t, { addons: [listener] })
  const up = await everyForm(t)
  const wire = await host.connect()
  for (const { form, query, stream, title, label } of everyCell()) {
    wire.write(request("POST", up.port, form.path + query, asking(stream)))
    const response = await wire.response("POST")
    await host.settled()
    assert.equal(utf8(response), form.body, title)
    assert.equal(response.headers.get("content-type"), label, title)
    const told = seen.pop()
    assert.deepEqual([told?.text, told?.usage], [SECRET_TEXT, 4], title)
    const isLine = isOneLine(form, label, stream)
    assert.equal(told?.streamed, form.isStream || isLine, title)
    assert.equal(told?.deltas, told?.streamed ? SECRET_TEXT : "", title)
  }
})

test("transformDeltas sees the deltas whatever the label says, and the framing stays", async (t) => {
  const host = await startHost(t, { addons: [redactor] })
  const up = await everyForm(t)
  const wire = await host.connect()
  for (const { form, query, stream, title, label } of everyCell()) {
    wire.write(request("POST", up.port, form.path + query, asking(stream)))
    const response = await wire.response("POST")
    assert.equal(response.status, 200, title)
    assert.equal(response.headers.get("content-type"), label, title)
    assert.doesNotMatch(response.text, /secret/, title)
    const edited = { ...form, isStream: form.isStream || isOneLine(form, label, stream) }
    assert.equal(textOf(edited, utf8(response)), SECRET_TEXT.replace("secret", "***"), title)
  }
})

test("what can be read neither way never passes a transform, whatever its label says", async (t) => {
  const host = await startHost(t, { addons: [redactor] })
  let body = ""
  let label: string | undefined
  const up = await origin(t, (_, socket) => void socket.write(labelled(body, label)))
  const bodies = [
    "a secret",
    "<p>a secret</p>",
    '"a secret"',
    '{"text":"a secret"}',
    '{"a":\n"secret"',
    " data: secret\n\n",
    "secret\n{}\n{}\n",
  ]
  for (body of bodies)
    for (label of LABELS)
      for (const stream of [true, false]) {
        const wire = await host.connect()
        wire.write(request("POST", up.port, CHAT, asking(stream)))
        // Under a stream's label the head has left: then it is cut.
        const { status, text } = await wire.response("POST").catch(() => ({ status: 0, text: "" }))
        assert.doesNotMatch(text, /secret/, `${body} as ${label}`)
        assert.equal(status, label === "text/event-stream" && stream ? 0 : 502, `${body} as ${label}`)
      }
})

test("a text that only looks like a stream, which no label has announced, never passes a transform", async (t) => {
  const host = await startHost(t, { addons: [redactor], settings: { bodyLimit: 4_096 } })
  let body = ""
  let label: string | undefined
  const up = await origin(t, (_, socket) => void socket.write(labelled(body, label)))
  const bodies = [
    "data: a secret",
    ": a secret\n",
    "event: party\nid: secret\n\n",
    'data: {"text":"secret"}\n\n',
    '{"text":"secret"}\n{"text":"secret"}\n',
    "data: a secret\n\n".repeat(1_000),
  ]
  for (body of bodies)
    for (label of LABELS)
      for (const stream of [true, false]) {
        if (label === "text/event-stream" && stream) continue
        const wire = await host.connect()
        wire.write(request("POST", up.port, CHAT, asking(stream)))
        const { status, text } = await wire.response("POST")
        assert.equal(status, 502, `${body} as ${label}`)
        assert.doesNotMatch(text, /secret/)
      }
  await host.settled()
  assert.equal(host.server.core.memory.used, 0)
})

test("a stream labelled as JSON or text is edited event by event, before the next one is sent", async (t) => {
  for (const type of ["application/json", "text/plain"]) {
    const host = await startHost(t, { addons: [redactor] })
    const arrived = gate()
    const up = await origin(t, async (_, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`)
      socket.write(chunk(chatEvent("secret one")))
      await arrived.opened
      socket.write(Buffer.concat([chunk(chatEvent("secret two") + FINISH + DONE), Buffer.from("0\r\n\r\n")]))
    })
    const wire = await host.connect()
    wire.write(request("POST", up.port, CHAT, asking(true)))
    await wire.until("*** one")
    arrived.open()
    const { text } = await wire.response("POST")
    assert.match(text, /\*\*\* one.*\*\*\* two/s)
    assert.doesNotMatch(text, /secret/)
  }
})

test("JSON lines labelled as JSON are edited as they come, with the second one at the latest", async (t) => {
  const host = await startHost(t, { addons: [redactor] })
  const arrived = gate()
  const line = (content: string, done = false) =>
    `${JSON.stringify({ model: "up", message: { role: "assistant", content }, done })}\n`
  const up = await origin(t, async (_, socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    socket.write(Buffer.concat([chunk(line("secret one")), chunk(line("secret two"))]))
    await arrived.opened
    socket.write(Buffer.concat([chunk(line("secret three", true)), Buffer.from("0\r\n\r\n")]))
  })
  const wire = await host.connect()
  wire.write(request("POST", up.port, "/api/chat", asking(true)))
  await wire.until("*** two")
  arrived.open()
  const { text } = await wire.response("POST")
  assert.deepEqual(
    text
      .trim()
      .split("\n")
      .map((one) => JSON.parse(one).message.content),
    ["*** one", "*** two", "*** three"],
  )
})

test("where the label is right the head of a transformed stream does not wait for its first byte", async (t) => {
  const host = await startHost(t, { addons: [redactor] })
  const arrived = gate()
  const up = await origin(t, async (_, socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    await arrived.opened
    socket.write(Buffer.concat([chunk(chatEvent("secret") + FINISH + DONE), Buffer.from("0\r\n\r\n")]))
  })
  const wire = await host.connect()
  wire.write(request("POST", up.port, CHAT, asking(true)))
  await wire.until("\r\n\r\n")
  arrived.open()
  assert.match((await wire.response("POST")).text, /\*\*\*/)
})

test("nor does the white space that a server keeps its client waiting with", async (t) => {
  const host = await startHost(t, { addons: [redactor] })
  for (const body of [chatEvent("secret") + FINISH + DONE, JSON.stringify(chatJson("secret"))]) {
    const arrived = gate()
    const up = await origin(t, async (_, socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
      socket.write(chunk("\r\n\n"))
      await arrived.opened
      socket.write(Buffer.concat([chunk(`\n${body}`), Buffer.from("0\r\n\r\n")]))
    })
    const wire = await host.connect()
    wire.write(request("POST", up.port, CHAT, asking(true)))
    await wire.until("3\r\n\r\n\n\r\n")
    arrived.open()
    assert.equal((await wire.response("POST")).text, `\r\n\n\n${body.replace("secret", "***")}`)
  }
})

test("an error that comes as an event under an error's status is read", async (t) => {
  const messages: string[] = []
  const listener = addon("listener", { llmError: (_, error) => void messages.push(`${error.status} ${error.kind}`) })
  const host = await startHost(t, { addons: [listener] })
  const error = { error: { message: "Rate limit reached", type: "tokens", code: "rate_limit_exceeded" } }
  const bodies = [
    `event: error\ndata: ${JSON.stringify(error)}\n\n`,
    `\uFEFF${JSON.stringify(error)}`,
    JSON.stringify(error),
  ]
  for (const body of bodies)
    for (const label of LABELS) {
      const bytes = Buffer.from(labelled(body, label).toString().replace("200 OK", "429 Too Many Requests"))
      const up = await origin(t, (_, socket) => void socket.write(bytes))
      const wire = await host.connect()
      wire.write(request("POST", up.port, CHAT, asking(true)))
      assert.equal(utf8(await wire.response("POST")), body)
      await host.settled()
      assert.equal(messages.pop(), "429 rate_limit", `${body} as ${label}`)
    }
})
