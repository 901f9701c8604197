/** The time of a hook, on a clock that is turned by hand; what stops it in a flow is test/proxy/flow/hook-time.test.ts. */
import { test } from "tap"
import { HookBudget, HookWait } from "../../lib/loader/hook-budget.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"

const BUDGET_MS = 100

interface Running {
  readonly clock: ManualClock
  readonly budget: HookBudget
  /** When its time was used up, each time that it said so. */
  readonly expired: number[]
  start(): void
}

function makeBudget(): Running {
  const clock = new ManualClock()
  const budget = new HookBudget(clock, BUDGET_MS)
  const expired: number[] = []
  return { clock, budget, expired, start: () => budget.start(() => expired.push(clock.monotonic())) }
}

function started(): Running {
  const running = makeBudget()
  running.start()
  return running
}

/** A promise that a test settles. */
function brought() {
  let resolve: (value: string) => void = () => {}
  let reject: (error: Error) => void = () => {}
  const promise = new Promise<string>((onResolved, onRejected) => {
    resolve = onResolved
    reject = onRejected
  })
  return { promise, resolve, reject }
}

test("a hook may work for its time and no longer, and is told so once", async (t) => {
  const { clock, budget, expired } = started()
  clock.advance(BUDGET_MS - 1)
  t.equal(budget.over, false)
  clock.advance(1_000)
  t.same(expired, [BUDGET_MS])
  t.equal(budget.over, true)
  t.equal(clock.pending, 0)
})

test("behind a stop the time goes on where it stood, also behind several", async (t) => {
  const { clock, budget, expired } = started()
  for (const worked of [60, 39]) {
    clock.advance(worked)
    budget.pause()
    t.equal(clock.pending, 0)
    clock.advance(1_000)
    budget.resume()
  }
  clock.advance(1_000)
  t.same(expired, [2 * 1_000 + BUDGET_MS])
})

test("stops nest, and one resume too many does no harm", async (t) => {
  const { clock, budget, expired } = started()
  budget.pause()
  budget.pause()
  budget.resume()
  clock.advance(1_000)
  t.same(expired, [])
  budget.resume()
  budget.resume()
  budget.pause()
  clock.advance(1_000)
  t.same(expired, [])
  budget.resume()
  clock.advance(BUDGET_MS)
  t.same(expired, [2_000 + BUDGET_MS])
})

test("before the hook has turned out to be asynchronous there is no timer", async (t) => {
  const { clock, budget, expired, start } = makeBudget()
  budget.pause()
  budget.resume()
  budget.pause()
  clock.advance(1_000)
  start()
  t.equal(clock.made, 0, "it waits")
  budget.resume()
  t.equal(clock.pending, 1)
  clock.advance(BUDGET_MS)
  t.same(expired, [1_000 + BUDGET_MS])
})

test("what has ended has no timer, whatever it is told then", async (t) => {
  const { clock, budget, expired, start } = started()
  budget.end()
  t.equal(budget.over, true)
  t.equal(clock.pending, 0)
  budget.pause()
  budget.resume()
  start()
  t.equal(clock.pending, 0)
  t.same(expired, [])
})

test("a budget is untouched while it is not started, not stopped and not ended", async (t) => {
  t.equal(makeBudget().budget.untouched, true)
  t.equal(started().budget.untouched, false)
  const stopped = makeBudget().budget
  stopped.pause()
  t.equal(stopped.untouched, false)
  stopped.resume()
  t.equal(stopped.untouched, true)
  stopped.end()
  t.equal(stopped.untouched, false)
})

test("what is begun stops the time from when it is awaited until it is there, however often that is", async (t) => {
  for (const outcome of ["it", "Error: no"]) {
    const { clock, budget, expired } = started()
    const { promise, resolve, reject } = brought()
    const wait = new HookWait(promise, () => budget)
    clock.advance(10)
    t.equal(clock.pending, 1, "begun")
    const both = Promise.all([wait.then((value) => value, String), wait.catch(String)])
    t.equal(clock.pending, 0, "awaited")
    clock.advance(1_000)
    if (outcome === "it") resolve("it")
    else reject(new Error("no"))
    t.same(await both, [outcome, outcome])
    clock.advance(1_000)
    t.same(expired, [1_000 + BUDGET_MS], "it goes on where it stood")
  }
})

test("the time runs on before whoever awaits goes on", async (t) => {
  const { clock, budget } = started()
  const { promise, resolve } = brought()
  const seen: number[] = []
  const done = new HookWait(promise, () => budget).then(() => void seen.push(clock.pending))
  resolve("it")
  await done
  t.same(seen, [1])
})

test("what is there when it is awaited stops nothing", async (t) => {
  for (const promise of [Promise.resolve("it"), Promise.reject(new Error("no"))]) {
    const { clock, budget } = started()
    const wait = new HookWait(promise, () => budget)
    await promise.catch(() => {})
    await Promise.resolve()
    const settled = Promise.allSettled([wait])
    t.equal(clock.pending, 1)
    await settled
    t.equal(clock.pending, 1)
  }
})

test("it is the time of the hook that runs when it is awaited, if one does", async (t) => {
  const earlier = started()
  const later = started()
  let now: HookBudget | undefined = earlier.budget
  const { promise } = brought()
  const begun = new HookWait(promise, () => now)
  now = later.budget
  void begun.then()
  t.equal(earlier.clock.pending, 1)
  t.equal(later.clock.pending, 0)
  t.equal(await new HookWait(Promise.resolve("it"), () => undefined), "it")
})

test("what is made of it is a plain promise", async (t) => {
  const wait = new HookWait(Promise.resolve("it"), () => undefined)
  for (const made of [wait.then(), wait.catch(() => ""), wait.finally(() => {})]) {
    t.notOk(made instanceof HookWait)
    t.equal(await made, "it")
  }
})
