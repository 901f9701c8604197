/** A hook's time stands still while somebody awaits what is ours to bring, and for nothing else. */
import { test } from "tap"
import type { Answer, Flow } from "../../../lib/api/flow.ts"
import type { LoadedAddon } from "../../../lib/loader/chain.ts"
import {
  addon,
  answer,
  CHAT,
  chat,
  chatEvent,
  chunk,
  gate,
  origin,
  type ProxyHost,
  request,
  SSE_HEAD,
  startHost,
  until,
} from "../../helpers/hosts/proxy-host.ts"

const BUDGET_MS = 5_000
const never = new Promise<void>(() => {})
/** A name that the linter takes for a mistake. */
const THEN = "then"

/** Enough turns of the event loop for what is under way within this process. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

const late = ({ lines }: ProxyHost) => lines.filter((line) => line.includes(`took more than ${BUDGET_MS} ms`)).length

/** A flow whose `request` hook is `hook`; its own body is not whole, and nothing else ever answers to `url`. */
async function hostWith(t: Parameters<typeof startHost>[0], hook: (flow: Flow, url: string) => unknown) {
  const silent = await origin(t, ({ target }, socket) => {
    if (target === CHAT) socket.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a"))]))
  })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  let begun = false
  const request: LoadedAddon["hooks"]["request"] = async (flow) => {
    if (flow.parent !== undefined) return
    const done = hook(flow, `http://127.0.0.1:${silent.port}`)
    begun = true
    await done
  }
  const host = await startHost(t, { addons: [addon("works", { request })] })
  const wire = await host.connect()
  wire.write(`POST http://127.0.0.1:${up.port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nx`)
  await until(() => begun)
  await turns()
  return { host, silent }
}

const ASK = { json: { model: "m", stream: true, messages: [{ role: "user", content: "hi" }] } }
/** An answer whose first words are there, and whose end never comes. */
const half = (flow: Flow, url: string): Promise<Answer> => flow.send(ASK, { url: url + CHAT })

/** What may be waited for: each of these never ends. */
const WAITS: Readonly<Record<string, (flow: Flow, url: string) => Promise<unknown>>> = {
  send: (flow, url) => flow.send({ text: "x" }, { url }),
  waitFor: (flow) => flow.waitFor(never),
  pause: (flow) => flow.pause(),
  collect: (flow) => flow.request.collect(),
}
/** The same of an answer. */
const READS: Readonly<Record<string, (answer: Answer) => Promise<unknown>>> = {
  completion: (answer) => answer.completion(),
  text: (answer) => answer.text(),
  deltas: async (answer) => {
    for await (const delta of answer.deltas()) if (delta.type === "finish") return
  },
}

test("what a hook begins and does not await leaves its time running", async (t) => {
  for (const [name, begin] of Object.entries(WAITS)) {
    const begun: Promise<unknown>[] = []
    const { host } = await hostWith(t, (flow, url) => {
      begun.push(begin(flow, url))
      return never
    })
    host.clock.advance(BUDGET_MS)
    await turns()
    t.equal(late(host), 1, name)
    for (const one of begun) one.catch(() => {}) // They fail with the test's end.
  }
  const second = (answer: Answer) => {
    const deltas = answer.deltas()[Symbol.asyncIterator]()
    const both = [deltas.next(), deltas.next()]
    return both[1] ?? never
  }
  const reads = { ...READS, deltas: second }
  for (const [name, read] of Object.entries(reads)) {
    const begun: Promise<unknown>[] = []
    const { host } = await hostWith(t, async (flow, url) => {
      begun.push(read(await half(flow, url)))
      await never
    })
    await until(() => begun.length === 1)
    await turns()
    host.clock.advance(BUDGET_MS)
    await turns()
    t.equal(late(host), 1, name)
    for (const one of begun) one.catch(() => {})
  }
})

test("the time stands still from when it is awaited, however that is written", async (t) => {
  const ways: Readonly<Record<string, (waiting: Promise<unknown>) => unknown>> = {
    await: async (waiting) => {
      await waiting
    },
    return: (waiting) => waiting,
    [THEN]: (waiting) => waiting.then(() => {}),
    catch: (waiting) => waiting.catch(() => {}),
    finally: (waiting) => waiting.finally(() => {}),
    "Promise.all": (waiting) => Promise.all([waiting, 1]),
    "Promise.race": (waiting) => Promise.race([waiting, never]),
    "Promise.resolve": (waiting) => Promise.resolve(waiting),
  }
  const all = Object.entries(WAITS).flatMap(([name, begin]) =>
    Object.entries(ways).map(([way, wait]) => [`${name} ${way}`, begin, wait] as const),
  )
  for (const [name, begin, wait] of all) {
    const { host } = await hostWith(t, (flow, url) => wait(begin(flow, url)))
    host.clock.advance(10 * BUDGET_MS)
    await turns()
    t.equal(late(host), 0, name)
  }
  for (const [name, read] of Object.entries(READS)) {
    const { host } = await hostWith(t, async (flow, url) => {
      await read(await half(flow, url))
    })
    await turns()
    host.clock.advance(10 * BUDGET_MS)
    await turns()
    t.equal(late(host), 0, name)
  }
})

test("a hook's own work before it awaits counts, what it then awaits does not", async (t) => {
  const worked = gate()
  const { host } = await hostWith(t, async (flow) => {
    const waiting = flow.waitFor(never)
    await worked.opened
    await waiting
  })
  host.clock.advance(BUDGET_MS - 1)
  await turns()
  worked.open()
  await turns()
  host.clock.advance(10 * BUDGET_MS)
  await turns()
  t.equal(late(host), 0)

  let waiting: Promise<void> | undefined
  const slow = await hostWith(t, async (flow) => {
    waiting = flow.waitFor(never)
    await never
    await waiting
  })
  slow.host.clock.advance(BUDGET_MS)
  await turns()
  t.equal(late(slow.host), 1)
  waiting?.catch(() => {})
})

test("a stop lasts no longer than what is awaited: behind it the time goes on where it stood", async (t) => {
  const brought = gate()
  const { host } = await hostWith(t, async (flow) => {
    // Somebody waits for it, though the hook itself does not: that cannot be told apart.
    void flow.waitFor(brought.opened).then(() => {})
    await never
  })
  host.clock.advance(10 * BUDGET_MS)
  await turns()
  t.equal(late(host), 0)
  brought.open()
  await turns()
  host.clock.advance(BUDGET_MS - 1)
  await turns()
  t.equal(late(host), 0)
  host.clock.advance(1)
  await turns()
  t.equal(late(host), 1)
})

test("what was begun in one hook and is awaited in another stops the time of that one", async (t) => {
  const { opened, open } = gate()
  const seen: string[] = []
  let sent: Promise<unknown> | undefined
  const later = addon("later", {
    request(flow) {
      sent = flow.waitFor(opened)
    },
    async response() {
      seen.push("waits")
      await sent
      seen.push("has it")
    },
  })
  const host = await startHost(t, { addons: [later] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  await until(() => seen.length === 1)
  await turns()
  host.clock.advance(10 * BUDGET_MS)
  await turns()
  open()
  await host.settled()
  t.same(seen, ["waits", "has it"])
  t.equal(late(host), 0)
})

test("what response sends for in the background stops no time, and ends with its flow", async (t) => {
  const model = await origin(t, () => {})
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const told: string[] = []
  const send = async (flow: Flow) => {
    const sent = await flow.send({ text: "x" }, { url: `http://127.0.0.1:${model.port}/`, until: "end" })
    told.push(`${sent.status} ${sent.failure?.message}`)
  }
  const returns = addon("returns", {
    response(flow) {
      if (flow.parent === undefined) send(flow).catch((thrown: unknown) => told.push(String(thrown)))
    },
  })
  const hangs = addon("hangs", {
    async response(flow) {
      if (flow.parent !== undefined) return
      void flow.send({ text: "x" }, { url: `http://127.0.0.1:${model.port}/` })
      await never
    },
  })
  const host = await startHost(t, { addons: [returns, hangs] })
  const wire = await host.connect()
  wire.write(chat(up.port))
  t.equal((await wire.response("POST")).text, "ok")
  await model.received(2)
  await turns()
  host.clock.advance(BUDGET_MS)
  await turns()
  t.match(host.lines.join("\n"), /addon "hangs": response took more than 5000 ms/)
  t.equal(late(host), 1)
  await host.settled()
  t.same(told, ["0 the flow that it belongs to has ended"])
})
