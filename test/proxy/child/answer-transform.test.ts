/** `flow.send` with a transform: what an addon makes of an answer is what everybody sees of it. */
import { test } from "tap"
import type { Answer, Delta, DeltaTransform, LlmFlow } from "../../../lib/api/flow.ts"
import { dialectNamed } from "../../../lib/llm/index.ts"
import { AnswerTransform } from "../../../lib/proxy/child/transform.ts"
import {
  addon,
  answer,
  chat,
  chatEvent,
  chatJson,
  DONE,
  eventsOf,
  FINISH,
  jsonAnswer,
  origin,
  sseAnswer,
  startHost,
  textEvent,
} from "../../helpers/hosts/proxy-host.ts"

const upper: DeltaTransform = (delta) => (delta.type === "text" ? { ...delta, text: delta.text.toUpperCase() } : delta)

/** Holds everything back until the end. */
function miser(): DeltaTransform {
  let held = ""
  return (delta) => {
    if (delta.type === "text") held += delta.text
    if (delta.type !== "finish") return undefined
    return [{ type: "text", index: delta.index, text: held }, delta]
  }
}

/** What the client gets, and what the addon knew of the answer. */
async function sendThrough(
  t: Parameters<typeof startHost>[0],
  said: Buffer,
  transform: DeltaTransform,
  more: object,
  look: (sent: Answer) => void | Promise<void> = () => {},
  path = "/v1/chat/completions",
) {
  const up = await origin(t, (_, socket) => void socket.write(said))
  const sends = addon("sends", {
    async llmRequest(flow: LlmFlow) {
      const sent = await flow.send(
        { json: { model: "m", prompt: "", messages: [] } },
        { url: `http://127.0.0.1:${up.port}${path}`, transform },
      )
      await look(sent)
      flow.respond(sent)
    },
  })
  const host = await startHost(t, { addons: [sends] })
  const wire = await host.connect()
  wire.write(chat(up.port, more))
  return wire.response("POST")
}

const contents = (text: string) =>
  (eventsOf(text) as { choices: { delta: { content?: string } }[] }[])
    .flatMap(({ choices }) => choices.map(({ delta }) => delta.content ?? ""))
    .join("")

test("a streamed answer is edited in place by what the transform made of it", async (t) => {
  const events = [chatEvent("hel", { system_fingerprint: "fp", future: { kept: 1 } }), chatEvent("lo"), FINISH, DONE]
  const response = await sendThrough(t, sseAnswer(...events), upper, { stream: true })
  t.equal(response.text, events.join("").replace('"hel"', '"HEL"').replace('"lo"', '"LO"'))
})

test("a JSON answer is edited in place, and what no delta tells stays", async (t) => {
  const body = `{"id": "c1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello",
    "annotations": [{"url": "u"}]}, "finish_reason": "stop"}], "system_fingerprint": "fp",  "usage": {"prompt_tokens": 1, "completion_tokens": 2}}`
  const said = answer(body, "Content-Type: application/json\r\n")
  t.equal((await sendThrough(t, said, upper, {})).text, body.replace("hello", "HELLO"))
})

test("another model's name stands in an edited stream where the model stood, and nowhere else", async (t) => {
  const odd = chatEvent("a", { usage_by: { model: "up" } }).replace('"model":"up","choices"', '"choices"')
  const named = (event: string) => event.replace('"usage_by"', '"model":"up","usage_by"')
  const up = await origin(t, (_, socket) => void socket.write(sseAnswer(named(odd), chatEvent("b"), FINISH, DONE)))
  const sends = addon("sends", {
    async llmRequest(flow: LlmFlow) {
      const url = `http://127.0.0.1:${up.port}/v1/chat/completions`
      flow.respond(await flow.send({ json: { model: "m", messages: [] } }, { url, transform: upper }), {
        model: "mine",
      })
    },
  })
  const wire = await (await startHost(t, { addons: [sends] })).connect()
  wire.write(chat(up.port, { stream: true }))
  const expected = [named(odd), chatEvent("b"), FINISH].map((event) => event.replace('"model":"up"', '"model":"mine"'))
  const text = expected.join("").replace('"a"', '"A"').replace('"b"', '"B"') + DONE
  t.equal((await wire.response("POST")).text, text)
})

test("what is held back comes with the finish delta, also where the host sends its end mark alone", async (t) => {
  for (const end of [[FINISH, DONE], [DONE]]) {
    const response = await sendThrough(t, sseAnswer(chatEvent("a"), chatEvent("b"), ...end), miser(), { stream: true })
    t.equal(contents(response.text), "ab", `${end.length} events at the end`)
    t.equal(response.text.split('"finish_reason":"stop"').length, 2, "one finish reason")
  }
})

test("a JSON answer is transformed as well, for either client", async (t) => {
  const said = jsonAnswer(chatJson("hello", { usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } }))
  const json = JSON.parse((await sendThrough(t, said, upper, {})).text)
  t.match(json, { id: "chatcmpl-1", model: "up", created: 7, usage: { total_tokens: 3 } })
  t.equal(json.choices[0].message.content, "HELLO")
  const streamed = await sendThrough(t, said, upper, { stream: true })
  t.equal(contents(streamed.text), "HELLO")
})

test("an answer is empty when the transform leaves nothing of it", async (t) => {
  const drop: DeltaTransform = (delta) => (delta.type === "text" ? undefined : delta)
  for (const said of [sseAnswer(chatEvent("a"), FINISH, DONE), jsonAnswer(chatJson("a"))]) {
    const kinds: unknown[] = []
    await sendThrough(t, said, drop, { stream: true }, (sent) => void kinds.push(sent.failure?.kind))
    t.strictSame(kinds, ["empty"])
  }
})

test("the addon reads the transformed deltas, too", async (t) => {
  const seen: Delta[] = []
  const said = sseAnswer(textEvent("a"), textEvent("b", "stop"), DONE)
  const read = async (sent: Answer) => {
    for await (const delta of sent.deltas()) seen.push(delta)
  }
  await sendThrough(t, said, upper, { stream: true }, read, "/v1/completions")
  t.match(seen, [{ text: "A" }, { text: "B" }, { type: "finish" }])
})

test("a transform that throws is the addon's failure, told before the first delta and cut after it", async (t) => {
  const throwing: DeltaTransform = () => {
    throw new Error("oops")
  }
  const failures: unknown[] = []
  const said = sseAnswer(chatEvent("a"), FINISH, DONE)
  await sendThrough(t, said, throwing, { stream: true }, (sent) => void failures.push(sent.failure?.message))
  t.strictSame(failures, ["the transform of an answer failed; the log of llmproxy has the reason"])
})

test("an end mark that tells the end is told once", (t) => {
  const seen: string[] = []
  const transform = new AnswerTransform((delta) => {
    seen.push(delta.type)
    return delta
  })
  const said = '{"message":{"content":"a"},"done":false}\n{"message":{"content":""},"done":true,"done_reason":"stop"}\n'
  const ollama = dialectNamed("ollama")
  transform.events(ollama.decoder().feed(Buffer.from(said)), true)
  t.strictSame(seen, ["text", "finish"])
  t.end()
})

test("each choice that has begun and not ended gets one finish delta, before the end mark", (t) => {
  const transform = new AnswerTransform((delta) => delta)
  const text = (index: number): Delta => ({ type: "text", index, text: "x" })
  const event = (deltas: Delta[], done = false) => ({
    raw: Buffer.alloc(0),
    deltas,
    error: undefined,
    done,
    json: undefined,
  })
  const finish: Delta = { type: "finish", index: 0, reason: { unified: "stop", raw: "stop" } }
  const events = [event([text(0), text(1)]), event([finish]), event([], true)]
  const made = [...transform.events(events, false), ...transform.events([], true)]
  t.strictSame(
    made.map(({ deltas, done }) => [
      deltas.map((delta) => ("index" in delta ? `${delta.type} ${delta.index}` : "")),
      done,
    ]),
    [
      [["text 0", "text 1"], false],
      [["finish 0"], false],
      [["finish 1"], false],
      [[], true],
    ],
  )
  t.end()
})
