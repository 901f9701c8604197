/**
 * Bytes before labels, where the answer is handed on: a child's answer under any label reaches the client in the client's
 * dialect and form, and so does one that follows comments.
 */
import assert from "node:assert/strict"
import { type Test, test } from "tap"
import type { SendOptions } from "../../../lib/api/flow.ts"
import { dialectFor } from "../../../lib/llm/index.ts"
import { addon, CHAT, chunk, gate, origin, recorder, request, startHost } from "../../helpers/hosts/proxy-host.ts"
import { ANSWER_FORMS, type AnswerForm, LABELS, labelled, SECRET_TEXT } from "../../helpers/llm/answer-forms.ts"
import { assembled, decodeAll } from "../../helpers/llm/dialect-fixtures.ts"
import type { WireResponse } from "../../helpers/wire/wire.ts"

const UNKNOWN = "compress"
const CODINGS = ["", "Content-Encoding: none\r\n", "Content-Encoding: UTF-8\r\n", `Content-Encoding: ${UNKNOWN}\r\n`]

const asking = (stream: boolean) =>
  JSON.stringify({ model: "m", max_tokens: 9, messages: [{ role: "user", content: "hi" }], stream })

/** What the client of `path` reads: strictly, in its own dialect's form. */
function readBy(path: string, stream: boolean, { body, headers }: WireResponse): string {
  const dialect = dialectFor("POST", path)
  assert.ok(dialect)
  const type = headers.get("content-type")
  assert.equal(type, stream ? dialect.streamType : "application/json")
  if (!stream) return dialect.parseAnswer(JSON.parse(body.toString("utf8")))?.completion?.text ?? "no answer"
  const events = decodeAll(dialect, body)
  const lines = body.toString("utf8").split("\n")
  const known = dialect.streamType === "text/event-stream" ? /^(: .*|event: .*|data: ?.*|)\r?$/ : /^(\{.*\})?\r?$/
  for (const line of lines) assert.match(line, known)
  assert.ok(events.some(({ done }) => done))
  return assembled(events).finish(false).text
}

/** A proxy whose addon asks `path` of an upstream that answers with what `next` names, and hands the answer on. */
async function relay(t: Test, options: Partial<SendOptions> = {}) {
  const next = { bytes: Buffer.alloc(0), path: CHAT, asked: true }
  const up = await origin(t, (_, socket) => void socket.write(next.bytes))
  const heard = recorder(["llmResponse", "llmError"])
  const relays = addon("relays", {
    async llmRequest(flow) {
      const json = { model: "c", messages: [{ role: "user", content: "hi" }], stream: next.asked }
      flow.respond(await flow.send({ json }, { url: `http://127.0.0.1:${up.port}${next.path}`, ...options }))
    },
  })
  const host = await startHost(t, { addons: [relays, heard.addon] })
  const wire = await host.connect()
  return async (form: AnswerForm, bytes: Buffer, path: string, stream: boolean, asked = stream) => {
    Object.assign(next, { bytes, path: form.path, asked })
    wire.write(request("POST", up.port, path, asking(stream)))
    const response = await wire.response("POST")
    await host.settled()
    assert.equal(host.server.core.memory.used, 0)
    return response
  }
}

test("an answer that is handed on is read, whatever its labels and the question were", async (t) => {
  const ask = await relay(t)
  for (const form of ANSWER_FORMS)
    for (const label of LABELS)
      for (const stream of [true, false])
        for (const asked of [true, false]) {
          const title = `${form.title} as ${label}, ${asked ? "" : "not "}asked for, for a client that does ${stream ? "" : "not "}stream`
          const response = await ask(form, labelled(form.body, label), form.path, stream, asked)
          assert.equal(readBy(form.path, stream, response), SECRET_TEXT, title)
        }
})

test("so it is for a client that speaks another dialect", async (t) => {
  const ask = await relay(t)
  for (const form of ANSWER_FORMS.filter(({ path }) => path !== CHAT))
    for (const label of LABELS)
      for (const stream of [true, false]) {
        const response = await ask(form, labelled(form.body, label), CHAT, stream)
        assert.equal(readBy(CHAT, stream, response), SECRET_TEXT, `${form.title} as ${label}`)
      }
})

test("so it is where nobody waits for its first word, and where it is read to its end first", async (t) => {
  for (const until of ["head", "end"] as const) {
    const ask = await relay(t, { until })
    for (const form of ANSWER_FORMS)
      for (const label of LABELS)
        for (const stream of [true, false]) {
          const response = await ask(form, labelled(form.body, label), form.path, stream)
          assert.equal(readBy(form.path, stream, response), SECRET_TEXT, `${form.title} as ${label}, ${until}`)
        }
  }
})

test("a Content-Encoding that is none, that nobody knows, or that was never applied takes no answer away that its bytes tell", async (t) => {
  const ask = await relay(t)
  for (const form of ANSWER_FORMS)
    for (const coding of CODINGS)
      for (const stream of [true, false]) {
        const response = await ask(form, labelled(form.body, "text/plain", coding), form.path, stream)
        assert.equal(readBy(form.path, stream, response), SECRET_TEXT, `${form.title} with ${coding}`)
      }
  for (const form of ANSWER_FORMS)
    for (const coding of ["gzip", "deflate", "br"]) {
      const response = await ask(
        form,
        labelled(form.body, undefined, `Content-Encoding: ${coding}\r\n`),
        form.path,
        true,
      )
      assert.equal(readBy(form.path, true, response), SECRET_TEXT, `${form.title} said to be ${coding}`)
    }
  const [form] = ANSWER_FORMS
  assert.ok(form)
  const { status, text } = await ask(form, labelled("\x1f\x9d\x90", undefined, CODINGS[3]), CHAT, true)
  assert.equal(status, 502)
  assert.match(text, /Content-Encoding compress cannot be decoded/)
})

test("an error that is labelled as a stream is an error to the client, before its head or in its stream", async (t) => {
  const body = JSON.stringify({ error: { message: "no such model", code: "model_not_found" } })
  const [form] = ANSWER_FORMS
  assert.ok(form)
  const stopped = await (await relay(t))(form, labelled(body, "text/plain"), CHAT, true)
  assert.equal(stopped.status, 502)
  assert.match(stopped.text, /no such model/)

  const up = await origin(t, (_, socket) => void socket.write(labelled(body, "text/event-stream")))
  const relays = addon("relays", {
    async llmRequest(flow) {
      const url = `http://127.0.0.1:${up.port}${CHAT}`
      flow.respond(await flow.send({ json: { model: "c", messages: [], stream: true } }, { url, until: "head" }))
    },
  })
  const host = await startHost(t, { addons: [relays] })
  const wire = await host.connect()
  wire.write(request("POST", up.port, CHAT, asking(true)))
  await assert.rejects(wire.response("POST"), "the stream has no good end")
  assert.match(wire.all, /HTTP\/1\.1 200 OK.*data: \{"error":\{"message":"no such model".*"code":"model_not_found"/s)
})

test("a stream that is handed on under a wrong label leaves event by event", async (t) => {
  const arrived = gate()
  const form = ANSWER_FORMS.find(({ title }) => title === "chat events")
  assert.ok(form)
  const [first = "", ...rest] = form.body.split("\n\n").map((event) => `${event}\n\n`)
  const up = await origin(t, async (_, socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    socket.write(chunk(first))
    await arrived.opened
    socket.write(Buffer.concat([chunk(rest.join("")), Buffer.from("0\r\n\r\n")]))
  })
  const relays = addon("relays", {
    async llmRequest(flow) {
      const json = { model: "c", messages: [], stream: true }
      flow.respond(await flow.send({ json }, { url: `http://127.0.0.1:${up.port}${CHAT}` }))
    },
  })
  const host = await startHost(t, { addons: [relays] })
  const wire = await host.connect()
  wire.write(request("POST", up.port, CHAT, asking(true)))
  await wire.until(first)
  arrived.open()
  assert.equal(readBy(CHAT, true, await wire.response("POST")), SECRET_TEXT)
})

test("after comments every answer follows as events, whatever its label", async (t) => {
  for (const form of ANSWER_FORMS.filter(({ path }) => path !== "/api/chat"))
    for (const label of LABELS) {
      const [waiting, go] = [gate(), gate()]
      const heard = recorder(["llmResponse"])
      const keeps = addon("keeps", {
        async llmRequest(flow) {
          flow.keepAlive()
          waiting.open()
          await flow.waitFor(go.opened)
        },
      })
      const up = await origin(t, (_, socket) => void socket.write(labelled(form.body, label)))
      const host = await startHost(t, { addons: [keeps, heard.addon] })
      const wire = await host.connect()
      wire.write(request("POST", up.port, form.path, asking(true)))
      await waiting.opened
      host.clock.advance(5_000)
      await wire.until(": ")
      go.open()
      const title = `${form.title} as ${label}`
      assert.equal(readBy(form.path, true, await wire.response("POST")), SECRET_TEXT, title)
      await host.settled()
      assert.deepEqual(heard.events, ["llmResponse"], title)
      assert.equal(heard.flow().llm?.completion?.text, SECRET_TEXT, title)
      assert.equal(host.server.core.memory.used, 0)
    }
})
