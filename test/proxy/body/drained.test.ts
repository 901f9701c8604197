import { type Test, test } from "tap"
import type { Flow, FlowError } from "../../../lib/index.ts"
import { loadAddon, type TestAddon, type TestAnswer } from "../../../lib/testing/index.ts"

const STREAM = { "Content-Type": "text/event-stream" }
const event = (delta: object, more: object = {}) =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", model: "m", choices: [{ index: 0, delta, finish_reason: null }], ...more })}\n\n`
const FIRST = event({ role: "assistant", content: "One" })
const REST = [
  event({ content: " two" }),
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", model: "m", choices: [{ index: 0, delta: {}, finish_reason: "stop" }], usage: { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 } })}\n\n`,
  "data: [DONE]\n\n",
].join("")

/** A promise that is settled from outside. */
function later(): { readonly done: Promise<void>; now(): void } {
  let now: () => void = () => {}
  const done = new Promise<void>((resolve) => {
    now = resolve
  })
  return { done, now: () => now() }
}

interface Drained {
  readonly addon: TestAddon
  /** What the hooks were told, in order. */
  readonly told: string[]
  readonly failed: Promise<FlowError>
  /** Sends a chat whose client leaves when `left` resolves; resolves when the client's connection is over. */
  leave(left: Promise<void>, onPiece?: () => void): Promise<void>
}

async function start(
  t: Test,
  {
    program = {},
    begin,
    held = false,
  }: { program?: object; begin?: (flow: Flow) => void | Promise<void>; held?: boolean } = {},
): Promise<Drained> {
  const told: string[] = []
  let fail: (error: FlowError) => void = () => {}
  const failed = new Promise<FlowError>((resolve) => {
    fail = resolve
  })
  const addon = await loadAddon(
    {
      name: "drainer",
      hold: held,
      requestHeaders: (flow) => {
        flow.onClientGone = "drain"
      },
      llmRequest: (flow) => begin?.(flow),
      llmResponse(flow, { text, finishReason, usage }) {
        told.push(
          `${text}, ${finishReason.unified}, ${usage.totalTokens}, client ${flow.clientGone ? "gone" : "there"}`,
        )
      },
      response: () => void told.push("response"),
      error(_flow, error) {
        told.push(`error ${error.code}`)
        fail(error)
      },
    },
    { program: { ...program } },
  )
  t.teardown(() => addon.close())
  return {
    addon,
    told,
    failed,
    async leave(left, onPiece) {
      const leaving = new AbortController()
      void left.then(() => leaving.abort())
      const json = { model: "m", stream: true, messages: [{ role: "user", content: "Hi" }] }
      const sent = { json, signal: leaving.signal }
      await addon.request(onPiece === undefined ? sent : { ...sent, onPiece })
    },
  }
}

/** Says the first piece, and the rest once it may. */
function inTwo(go: Promise<void>): TestAnswer {
  return {
    headers: STREAM,
    body: (async function* () {
      yield FIRST
      await go
      yield REST
    })(),
  }
}

test("an answer is read to its end when its client has left in the middle, whose connection is over at once", async (t) => {
  const { addon, told, failed, leave } = await start(t)
  const [left, go] = [later(), later()]
  addon.answer(inTwo(go.done))
  await leave(left.done, () => left.now())
  t.strictSame(told, [], "the client's connection waits for nothing")
  go.now()
  t.equal((await failed).code, "client-gone")
  t.strictSame(told, ["One two, stop, 9, client gone", "error client-gone"])
})

test("also when it has left before the head", async (t) => {
  const { addon, told, failed, leave } = await start(t)
  const [left, go] = [later(), later()]
  addon.answer(async () => {
    left.now()
    await go.done
    return { headers: STREAM, text: FIRST + REST }
  })
  await leave(left.done)
  go.now()
  await failed
  t.strictSame(told, ["One two, stop, 9, client gone", "error client-gone"])
})

test("an answer that is held is read and told as well", async (t) => {
  const { addon, told, failed, leave } = await start(t, { held: true })
  const [left, go] = [later(), later()]
  addon.answer(async () => {
    left.now()
    return inTwo(go.done)
  })
  await leave(left.done)
  go.now()
  await failed
  t.strictSame(told, ["One two, stop, 9, client gone", "error client-gone"])
})

test("a JSON answer too, and what its upstream cuts is told as cut", async (t) => {
  for (const cut of [false, true]) {
    const { addon, told, failed, leave } = await start(t)
    const [left, go] = [later(), later()]
    const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
    const choices = [{ index: 0, message: { role: "assistant", content: "Whole" }, finish_reason: "stop" }]
    const text = JSON.stringify({ id: "c", object: "chat.completion", model: "m", choices, usage })
    addon.answer(async () => {
      left.now()
      await go.done
      return { headers: { "Content-Type": "application/json" }, text: cut ? text.slice(0, 20) : text, cut }
    })
    await leave(left.done)
    go.now()
    t.equal((await failed).code, "client-gone")
    t.match(told[0], cut ? /, cut, undefined,/ : "Whole, stop, 3, client gone")
  }
})

test("it is stopped when its time is up, or it is longer than somebody who has left is worth", async (t) => {
  const slow = await start(t, { program: { drainLimitMs: 50 } })
  const left = later()
  slow.addon.answer(inTwo(new Promise(() => {})))
  await slow.leave(left.done, () => left.now())
  t.strictSame(slow.told, [])
  slow.addon.clock.advance(50)
  t.equal((await slow.failed).code, "client-gone")
  t.strictSame(slow.told, ["One, cut, undefined, client gone", "error client-gone"])

  const long = await start(t, { program: { drainLimit: 10 } })
  const [gone, go] = [later(), later()]
  long.addon.answer(inTwo(go.done))
  await long.leave(gone.done, () => gone.now())
  go.now()
  await long.failed
  t.match(long.told[0], /^One( two)?, (cut|stop), /)
  t.equal(long.told[1], "error client-gone")
})

test("an answer that has said all, and does not end, is told as the whole one that it is", async (t) => {
  const { addon, told, failed, leave } = await start(t)
  const [left, go, said] = [later(), later(), later()]
  addon.answer({
    headers: STREAM,
    body: (async function* () {
      yield FIRST
      await go.done
      yield REST
      said.now()
      await new Promise(() => {})
    })(),
  })
  await leave(left.done, () => left.now())
  go.now()
  await said.done
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  addon.clock.advance(60_000)
  await failed
  t.strictSame(told, ["One two, stop, 9, client gone", "error client-gone"])
})

test("what is asked in a child is read on as well, and nothing new is asked", async (t) => {
  const asks: string[] = []
  const [left, go] = [later(), later()]
  const { addon, told, failed, leave } = await start(t, {
    async begin(flow) {
      if (flow.parent !== undefined) return
      const answer = await flow.send(
        { json: { model: "m", stream: true, messages: [] } },
        { url: "http://h.test/v1/chat/completions" },
      )
      asks.push(String(flow.clientGone))
      flow.respond(answer)
    },
  })
  addon.answer(async () => {
    left.now()
    await go.done
    return { headers: STREAM, text: FIRST + REST }
  })
  await leave(left.done)
  go.now()
  await failed
  t.strictSame(asks, ["true"])
  t.strictSame(told, ["One two, stop, 9, client gone", "error client-gone"])

  const more = await start(t, {
    async begin(flow) {
      await flow.send(
        { json: { model: "m", messages: [] } },
        { url: "http://h.test/v1/chat/completions", until: "end" },
      )
    },
  })
  const [gone, further] = [later(), later()]
  more.addon.answer(async () => {
    gone.now()
    await further.done
    return "Said."
  })
  await more.leave(gone.done)
  further.now()
  await more.failed
  t.equal(more.addon.asked.length, 1, "the flow's own upstream is asked no more")
})

test("by default the upstream is stopped at once; and what comes too late says so", async (t) => {
  const errors: string[] = []
  const set = (flow: Flow, what: "abort" | "drain") => {
    try {
      flow.onClientGone = what
    } catch (thrown) {
      errors.push(String(thrown))
    }
  }
  let fail: (code: string) => void = () => {}
  const failed = new Promise<string>((resolve) => {
    fail = resolve
  })
  const addon = await loadAddon({
    name: "aborter",
    request: (flow) => set(flow, "nothing" as never),
    responseHeaders(flow) {
      set(flow, "abort")
      set(flow, "drain")
    },
    error: (flow, { code }) => fail(`${code} ${flow.clientGone}`),
  })
  t.teardown(() => addon.close())
  addon.answer(inTwo(new Promise(() => {})))
  const leaving = new AbortController()
  const json = { model: "m", stream: true, messages: [{ role: "user", content: "Hi" }] }
  await addon.request({ json, signal: leaving.signal, onPiece: () => leaving.abort() })
  t.equal(await failed, "client-gone true")
  t.strictSame(errors, [
    'TypeError: flow.onClientGone: write "abort" or "drain"',
    "Error: flow.onClientGone comes too late: the request has been sent",
  ])
})

test("a program that stops waits for no such answer", async (t) => {
  const { addon, told, failed, leave } = await start(t)
  const left = later()
  addon.answer(inTwo(new Promise(() => {})))
  await leave(left.done, () => left.now())
  const closed = addon.close()
  addon.clock.advance(60_000)
  await failed
  await closed
  t.equal(told.at(-1), "error client-gone")
})
