import assert from "node:assert/strict"
import type { Test } from "tap"
import { test } from "tap"
import type { Completion } from "../../../lib/api/flow.ts"
import { Headers } from "../../../lib/base/headers.ts"
import { AnswerObserver } from "../../../lib/proxy/body/answer-observer.ts"
import {
  addon,
  CHAT,
  COMPLETIONS,
  chat,
  chatEvent,
  DONE,
  FINISH,
  origin,
  recorder,
  sseAnswer,
  startHost,
  textEvent,
} from "../../helpers/hosts/proxy-host.ts"
import { contextFor, streamedAnswers } from "../../helpers/llm/dialect-fixtures.ts"

/** Clean ends of the HTTP body in the middle of the answer. */
const CUTS: readonly [string, (event: (text: string) => string) => string[]][] = [
  ["between two events", (event) => [event("a"), event("b")]],
  ["in the middle of an event", (event) => [event("a"), event("b").slice(0, 20)]],
  ["in the middle of the first event", (event) => [event("a").slice(0, 20)]],
]

/** One chat of a streaming client that a child answers. */
async function relayed(t: Test, path: string, up: Buffer, stream = true) {
  const from = await origin(t, (_, socket) => void socket.write(up))
  const ends: string[] = []
  const ended = (flow: { parent: unknown }, what: string) => void (flow.parent === undefined && ends.push(what))
  const relays = addon("relays", {
    async llmRequest(flow) {
      if (flow.parent !== undefined) return
      const json = { model: "c", stream: true, ...(path === CHAT ? { messages: [] } : { prompt: "p" }) }
      flow.respond(await flow.send({ json }, { url: `http://127.0.0.1:${from.port}${path}` }))
    },
    llmResponse: (flow, { finishReason }: Completion) => ended(flow, `llmResponse ${finishReason.unified}`),
    llmError: (flow) => ended(flow, "llmError"),
    response: (flow) => ended(flow, "response"),
    error: (flow, { code }) => ended(flow, `error ${code}`),
  })
  const host = await startHost(t, { addons: [relays] })
  const wire = await host.connect()
  wire.write(chat(from.port, { stream }))
  const response = await wire.response("POST").catch(() => undefined)
  await host.settled()
  assert.equal(host.server.core.memory.used, 0)
  return { response, ends }
}

for (const [path, event] of [
  [CHAT, chatEvent],
  [COMPLETIONS, textEvent],
] as const) {
  for (const [where, cut] of CUTS) {
    test(`a clean end ${where} of ${path} is a cut: the client gets no end that nobody has said`, async (t) => {
      const { response, ends } = await relayed(t, path, sseAnswer(...cut((text) => event(text))))
      assert.ok(response === undefined || (response.status === 502 && !response.text.includes(DONE)))
      assert.deepEqual(
        ends.filter((end) => end === "response" || end === "llmResponse stop"),
        response === undefined ? [] : ["response"],
      )
    })

    test(`nor does a client that waits for the whole get it: ${where} of ${path}`, async (t) => {
      const { response } = await relayed(t, path, sseAnswer(...cut((text) => event(text))), false)
      assert.equal(response?.status, 502)
      assert.match(response.text, /neither a finish reason nor an end mark/)
    })
  }
}

test("a finish without an end mark, and an end mark without a finish, are ends", async (t) => {
  for (const end of [FINISH, DONE]) {
    const { response, ends } = await relayed(t, CHAT, sseAnswer(chatEvent("a"), end))
    assert.equal(response?.status, 200)
    assert.deepEqual(ends, [`llmResponse ${end === FINISH ? "stop" : "other"}`, "response"])
  }
})

test("what passes unedited passes byte for byte, and is noted as cut", async (t) => {
  for (const [, cut] of CUTS) {
    const body = cut((text) => chatEvent(text))
    const up = await origin(t, (_, socket) => void socket.write(sseAnswer(...body)))
    const seen = recorder(["llmResponse", "response", "error"])
    const host = await startHost(t, { addons: [seen.addon] })
    const wire = await host.connect()
    wire.write(chat(up.port, { stream: true }))
    assert.equal((await wire.response("POST")).text, body.join(""))
    await host.settled()
    assert.deepEqual(seen.events, ["llmResponse", "response"])
    assert.equal(seen.flow().llm?.completion?.finishReason.unified, "cut")
  }
})

test("every dialect's stream is whole with its end, and cut wherever that is missing", async () => {
  for (const { title, dialect, deltas } of streamedAnswers()) {
    const encoder = dialect.encoder(contextFor(dialect))
    const isEnd = ({ type }: { type: string }) => type === "finish" || type === "usage"
    const begun = deltas.filter((delta) => !isEnd(delta)).map((delta) => encoder.delta(delta))
    const rest = deltas.filter(isEnd).map((delta) => encoder.delta(delta))
    const head = { status: 200, reason: "", headers: new Headers({ "content-type": dialect.streamType }) }
    const whole = begun.join("") + rest.join("") + encoder.end()
    for (const [text, isCut] of [
      [whole, false],
      [begun.join(""), true],
      [begun.join("").slice(0, -3), true],
    ] as const) {
      const made = new AnswerObserver({ dialect, head, stream: true, elapsed: () => 5, onDelta: () => {} })
      made.feed(Buffer.from(text))
      const { completion } = made.finish(false)
      if (completion !== undefined && text !== "")
        assert.equal(completion.finishReason.unified === "cut", isCut, `${title} ${text.length}`)
    }
  }
})
