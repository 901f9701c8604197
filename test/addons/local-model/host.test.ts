/** Which models are in memory, whose turn it is, and what becomes of those whose process fails. */
import { test } from "tap"
import { Host, Unavailable } from "../../../addons/local-model/host.ts"
import type { Generation, ModelFacts } from "../../../addons/local-model/messages.ts"
import { type Listener, ModelError } from "../../../addons/local-model/model-process.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"

const FACTS: ModelFacts = { context: 1, template: undefined, bos: "", eos: "", controls: [] }
const NOBODY = new AbortController().signal

class FakeModel {
  readonly pid = 1
  isDead = false
  isEnded = false
  readonly file: string
  readonly loaded: Promise<ModelFacts>
  readonly ended: Promise<void>
  load: (facts: ModelFacts) => void = () => {}
  fail: (error: Error) => void = () => {}
  gone: () => void = () => {}
  constructor(file: string) {
    this.file = file
    this.loaded = new Promise((resolve, reject) => {
      this.load = resolve
      this.fail = reject
    })
    this.ended = new Promise((resolve) => {
      this.gone = resolve
    })
  }
  generate(_generation: Generation, _listener: Listener): () => void {
    return () => {}
  }
  async end(): Promise<void> {
    this.isEnded = true
    this.isDead = true
    this.gone()
  }
  /** It dies by itself. */
  die(): void {
    this.isDead = true
    this.gone()
  }
}

function start(maxLoaded = 1) {
  const clock = new ManualClock()
  const started: FakeModel[] = []
  const told: string[] = []
  const host = new Host({
    clock,
    settings: { maxLoaded, idleMs: 60_000 },
    start: (file) => {
      const model = new FakeModel(file)
      started.push(model)
      return model
    },
    told: (file, text) => told.push(`${file} ${text}`),
  })
  return { clock, host, started, told, last: () => started.at(-1) ?? new FakeModel("none") }
}

/** The milliseconds after which it may be tried again, or what it was rejected with instead. */
function retryOf(taken: Promise<unknown>): Promise<unknown> {
  return taken.then(
    () => "taken",
    (error: unknown) => (error instanceof Unavailable ? error.retryMs : error),
  )
}

/** Lets what was promised happen. */
async function settle(): Promise<void> {
  for (let round = 0; round < 10; round++) await Promise.resolve()
}

test("requests to one model take turns, each in its order", async (t) => {
  const { host, started, last } = start()
  const order: string[] = []
  const first = host.take("a", NOBODY)
  const second = host.take("a", NOBODY).then((turn) => {
    order.push("second")
    return turn
  })
  last().load(FACTS)
  const turn = await first
  await settle()
  t.same(order, [])
  t.equal(turn.facts, FACTS)
  turn.release()
  turn.release()
  ;(await second).release()
  t.equal(started.length, 1)
  t.same(host.loaded, ["a"])
})

test("the one that was used longest ago makes room, and one that answers is waited for", async (t) => {
  const { clock, host, started, last } = start(2)
  for (const file of ["a", "b"]) {
    const turn = host.take(file, NOBODY)
    last().load(FACTS)
    ;(await turn).release()
    clock.advance(1)
  }
  const third = host.take("c", NOBODY)
  await settle()
  t.ok(started[0]?.isEnded, "a was used longest ago")
  last().load(FACTS)
  const busy = await third
  const b = await host.take("b", NOBODY)
  const waiting = host.take("a", NOBODY)
  const behind = host.take("b", NOBODY)
  await settle()
  t.equal(started.length, 3, "both answer")
  b.release()
  await settle()
  t.ok(started[1]?.isEnded, "b makes room, though somebody behind waits for it")
  last().load(FACTS)
  ;(await waiting).release()
  await settle()
  t.equal(last().file, "b")
  last().load(FACTS)
  ;(await behind).release()
  busy.release()
})

test("a model that nobody asks leaves after its time", async (t) => {
  const { clock, host, last, told } = start()
  const taken = host.take("a", NOBODY)
  last().load(FACTS)
  const turn = await taken
  clock.advance(120_000)
  t.notOk(last().isEnded, "it answers")
  turn.release()
  clock.advance(59_999)
  t.notOk(last().isEnded)
  clock.advance(1)
  await settle()
  t.ok(last().isEnded)
  t.match(told.at(-1), /a is unloaded: it was not used/)
  t.same(host.loaded, [])
})

test("what fails is left alone for a while, twice as long each time, and then forgiven", async (t) => {
  const { clock, host, started, last } = start()
  for (const pause of [1_000, 2_000, 4_000]) {
    const taken = host.take("a", NOBODY)
    const behind = host.take("a", NOBODY)
    last().fail(new ModelError("died", "it was ended by SIGKILL"))
    t.equal(await retryOf(taken), pause)
    await t.rejects(behind, /SIGKILL/)
    clock.advance(pause - 1)
    t.equal(await retryOf(host.take("a", NOBODY)), 1)
    clock.advance(1)
  }
  const taken = host.take("a", NOBODY)
  last().load(FACTS)
  ;(await taken).release()
  last().die()
  await settle()
  t.equal(await retryOf(host.take("a", NOBODY)), 1_000, "also one that dies while nobody asks it")
  for (let round = 0; round < 8; round++) {
    clock.advance(60_000)
    const again = host.take("a", NOBODY)
    last().fail(new Error("odd"))
    await t.rejects(again, /odd/)
  }
  t.equal(await retryOf(host.take("a", NOBODY)), 60_000, "at most a minute")
  t.ok(started.every(({ isEnded }) => isEnded))
})

test("one that dies while it answers fails those behind it, and other models go on", async (t) => {
  const { host, started, last } = start(2)
  const taken = host.take("a", NOBODY)
  last().load(FACTS)
  const turn = await taken
  const behind = host.take("a", NOBODY)
  const other = host.take("b", NOBODY)
  last().load(FACTS)
  started[0]?.die()
  turn.release()
  t.equal(await retryOf(behind), 1_000)
  ;(await other).release()
})

test("what is not installed is no failure of the model", async (t) => {
  const { host, last } = start()
  const taken = host.take("a", NOBODY)
  last().fail(new ModelError("library", "not there"))
  t.match(await retryOf(taken), { kind: "library" })
  const again = host.take("a", NOBODY)
  last().load(FACTS)
  ;(await again).release()
})

test("who leaves waits no more; more than 64 do not wait", async (t) => {
  const { host, last } = start()
  const leaving = new AbortController()
  const left = host.take("a", leaving.signal)
  leaving.abort(new Error("left"))
  await t.rejects(left, /left/)
  await t.rejects(host.take("a", leaving.signal), /left/)
  const waiting = Array.from({ length: 64 }, () => host.take("a", NOBODY))
  await t.rejects(host.take("a", NOBODY), /64 requests wait already/)
  last().load(FACTS)
  for (const one of waiting) (await one).release()
})

test("the end of the program ends all; one that is replaced ends when it has answered", async (t) => {
  const { host, last, started } = start(2)
  const taken = host.take("a", NOBODY)
  last().load(FACTS)
  const turn = await taken
  const idle = host.take("b", NOBODY)
  last().load(FACTS)
  ;(await idle).release()
  host.retire()
  await settle()
  t.same(
    started.map(({ isEnded }) => isEnded),
    [false, true],
  )
  turn.release()
  await settle()
  t.ok(started[0]?.isEnded)
  const waiting = host.take("c", NOBODY)
  const closed = t.rejects(waiting, /is stopping/)
  await host.close()
  await closed
  t.ok(last().isEnded)
  await t.rejects(host.take("a", NOBODY), /is stopping/)
})
