/** The chain alone: addons are literals, the scope is a list of what it was told, the clock is turned by hand. */
import { test } from "tap"
import { HOOK_NAMES, type Hooks } from "../../lib/api/hooks.ts"
import { FlowError } from "../../lib/base/errors.ts"
import { makeLogger } from "../../lib/base/log.ts"
import {
  describeFailure,
  HookChain,
  type HookScope,
  type LoadedAddon,
  plainScope,
  type ScopeView,
} from "../../lib/loader/chain.ts"
import { HookBudget } from "../../lib/loader/hook-budget.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"

/** A name that makes a thenable, which the linter takes for a mistake. */
const THEN = "then"
const client = { address: "127.0.0.1", port: 1 }

function addon(name: string, hooks: Partial<Hooks>, more: Partial<LoadedAddon> = {}): LoadedAddon {
  return { name, onError: "continue", reads: undefined, hold: false, hooks, file: undefined, ...more }
}

interface TestScope extends HookScope {
  isStopped: boolean
  failures: string[]
  throws: Error | undefined
  /** By the addon's name. */
  views: Map<string, ScopeView>
}

function scopeOf(): TestScope {
  return {
    views: new Map(),
    viewFor({ name }) {
      const view = this.views.get(name) ?? { budget: undefined }
      this.views.set(name, view)
      return view
    },
    isStopped: false,
    failures: [],
    throws: undefined,
    stopped() {
      return this.isStopped
    },
    failed(addon, hook, error) {
      this.failures.push(`${addon.name} ${hook} ${error instanceof FlowError ? error.code : String(error)}`)
      if (this.throws !== undefined) throw this.throws
    },
  }
}

function chainOf(addons: LoadedAddon[], clock = new ManualClock(), budgetMs = 5_000): HookChain {
  return new HookChain(addons, { clock, budgetMs })
}

/** A promise that a test settles. */
function gate(): { promise: Promise<void>; open: () => void; fail: (error: Error) => void } {
  let open = () => {}
  let fail: (error: Error) => void = () => {}
  const promise = new Promise<void>((resolve, reject) => {
    open = resolve
    fail = reject
  })
  return { promise, open, fail }
}

const ticks = async () => {
  for (let i = 0; i < 5; i++) await Promise.resolve()
}

test("hooks run in list order, and a chain of synchronous ones makes no promise and no timer", async (t) => {
  const clock = new ManualClock()
  const seen: string[] = []
  const chain = chainOf(
    [
      addon("a", { clientConnected: (info) => void seen.push(`a${info.port}`) }),
      addon("none", {}),
      addon("b", { clientConnected: (info) => void seen.push(`b${info.port}`) }),
    ],
    clock,
  )
  t.equal(chain.run("clientConnected", scopeOf(), client), undefined)
  t.same(seen, ["a1", "b1"])
  t.equal(clock.made, 0)
})

test("has() is true only for hooks that somebody listens to", (t) => {
  const chain = chainOf([addon("a", { load() {} }), addon("b", { done() {} })])
  t.same(
    HOOK_NAMES.filter((hook) => chain.has(hook)),
    ["load", "done"],
  )
  t.equal(chain.run("running", scopeOf()), undefined)
  t.end()
})

test("an asynchronous hook is waited for before the next addon", async (t) => {
  const seen: string[] = []
  const first = gate()
  const clock = new ManualClock()
  const chain = chainOf(
    [
      addon("a", {
        async load() {
          await first.promise
          seen.push("a")
        },
      }),
      addon("b", { load: () => void seen.push("b") }),
      addon("c", { load: async () => void seen.push("c") }),
    ],
    clock,
  )
  const run = chain.run("load", scopeOf())
  await ticks()
  t.same(seen, [])
  first.open()
  await run
  t.same(seen, ["a", "b", "c"])
  t.equal(clock.pending, 0, "no timer is left")
})

test("each addon gets a view of its own where the scope is the argument, with the budget of its own hook", async (t) => {
  const scope = scopeOf()
  const seen: string[] = []
  const look = (view: unknown) => {
    const [name] = [...scope.views].find(([, own]) => own === view) ?? []
    const running = [...scope.views].filter(([, { budget }]) => budget !== undefined).map(([other]) => other)
    seen.push(`${name}: ${running}`)
  }
  const own = async (view: unknown) => {
    look(view)
    await ticks()
    look(view)
  }
  const chain = chainOf([addon("a", { request: own }), addon("b", { request: look })])
  await Reflect.apply(chain.run, chain, ["request", scope, scope])
  t.same(seen, ["a: a", "a: a", "b: b"])
  for (const { budget } of scope.views.values()) t.equal(budget, undefined)
})

test("a hook that begins while another waits leaves the scope clean, whichever ends first", async (t) => {
  for (const order of ["outer first", "inner first"]) {
    const scope = scopeOf()
    const outer = gate()
    const inner = gate()
    const chain = chainOf([addon("a", { load: () => outer.promise, done: () => inner.promise })])
    const runs = [chain.run("load", scope), chain.run("done", scope)]
    const gates = order === "outer first" ? [outer, inner] : [inner, outer]
    for (const { open } of gates) {
      open()
      await ticks()
    }
    await Promise.all(runs)
    t.equal(scope.views.get("a")?.budget, undefined, order)
  }
})

test("an answered flow skips the addons that follow in request hooks, and in no other hook", async (t) => {
  const stopping = ["authenticate", "requestHeaders", "request", "llmRequest"]
  for (const hook of HOOK_NAMES) {
    const scope = scopeOf()
    const runs: string[] = []
    const first = () => {
      scope.isStopped = true
    }
    const hooks = { [hook]: () => void runs.push(hook) }
    const late = { [hook]: async () => first() }
    for (const head of [{ [hook]: first }, late]) {
      scope.isStopped = false
      const chain = chainOf([addon("a", head), addon("b", hooks)])
      await Reflect.apply(chain.run, chain, [hook, scope]) // without a flow: the chain does not look at arguments
    }
    const skipped = stopping.includes(hook) ? 2 : 0
    t.equal(runs.length, 2 - skipped, hook)
  }
})

test("a failure goes to the scope, and the next addon runs", async (t) => {
  const scope = scopeOf()
  let ran = false
  const chain = chainOf([
    addon("a", {
      load() {
        throw new Error("sync")
      },
    }),
    addon("b", { load: () => Promise.reject(new Error("async")) }),
    addon("c", {
      load: () => {
        ran = true
      },
    }),
  ])
  await chain.run("load", scope)
  t.same(scope.failures, ["a load Error: sync", "b load Error: async"])
  t.ok(ran)
})

test("what the scope throws ends the run", async (t) => {
  const scope = scopeOf()
  scope.throws = new Error("ended")
  const after = addon("after", { load: () => void t.fail("must not run") })
  const thrower = addon("a", {
    load() {
      throw new Error("x")
    },
  })
  t.throws(() => chainOf([thrower, after]).run("load", scope), { message: "ended" })
  const rejecter = addon("b", { load: () => Promise.reject(new Error("x")) })
  await t.rejects(Promise.resolve(chainOf([rejecter, after]).run("load", scope)), { message: "ended" })
})

test("a hook that takes longer than its budget fails, and the chain goes on without it", async (t) => {
  const clock = new ManualClock()
  const scope = scopeOf()
  let ran = false
  const never = gate()
  const chain = chainOf(
    [
      addon("slow", { load: () => never.promise }),
      addon("b", {
        load: () => {
          ran = true
        },
      }),
    ],
    clock,
    5_000,
  )
  const run = chain.run("load", scope)
  clock.advance(4_999)
  await ticks()
  t.notOk(ran)
  clock.advance(1)
  await run
  t.same(scope.failures, ["slow load hook-timeout"])
  t.ok(ran)
  never.open()
  await ticks()
  t.same(scope.failures.length, 1, "the late end changes nothing")
})

test("a promise that rejects after its time is logged, never unhandled", async (t) => {
  const clock = new ManualClock()
  const lines: string[] = []
  const late = gate()
  const chain = new HookChain([addon("slow", { load: () => late.promise })], {
    clock,
    budgetMs: 10,
    log: makeLogger((line) => lines.push(line)),
  })
  const run = chain.run("load", scopeOf())
  clock.advance(10)
  await run
  late.fail(new Error("too late"))
  await ticks()
  t.match(lines.join("\n"), /addon "slow": load failed: too late .*\(after its time had run out\)/)
})

test("a blocking timeout rejects the run", async (t) => {
  const clock = new ManualClock()
  const scope = scopeOf()
  scope.throws = new Error("blocked")
  const run = chainOf([addon("slow", { load: () => gate().promise })], clock, 10).run("load", scope)
  clock.advance(10)
  await t.rejects(Promise.resolve(run), { message: "blocked" })
})

test("the budget stands still while the hook waits in send or pause", async (t) => {
  const clock = new ManualClock()
  const scope = scopeOf()
  const work = gate()
  const chain = chainOf(
    [
      addon("a", {
        load() {
          scope.views.get("a")?.budget?.pause() // before the chain knows that the hook is asynchronous
          return work.promise
        },
      }),
    ],
    clock,
    100,
  )
  const run = chain.run("load", scope)
  clock.advance(1_000)
  const budget = scope.views.get("a")?.budget
  budget?.pause()
  budget?.resume()
  clock.advance(1_000)
  budget?.resume()
  budget?.resume() // one too many does no harm
  clock.advance(60)
  budget?.pause()
  clock.advance(1_000)
  budget?.resume()
  clock.advance(39)
  await ticks()
  t.same(scope.failures, [])
  clock.advance(1)
  await run
  t.same(scope.failures, ["a load hook-timeout"])
  budget?.pause()
  budget?.resume()
  t.equal(clock.pending, 0, "a budget that is over starts no timer")
})

test("llmDelta is not waited for, has no budget, and its rejection goes to the scope", async (t) => {
  const clock = new ManualClock()
  const scope = scopeOf()
  const lines: string[] = []
  const seen: string[] = []
  const chain = new HookChain(
    [
      addon("a", { llmDelta: () => Promise.reject(new Error("late")) }),
      addon("b", {
        llmDelta() {
          seen.push(`b ${scope.views.get("b")?.budget}`)
          throw new Error("now")
        },
      }),
    ],
    { clock, budgetMs: 10, log: makeLogger((line) => lines.push(line)) },
  )
  const runDelta = () => Reflect.apply(chain.run, chain, ["llmDelta", scope])
  t.equal(runDelta(), undefined)
  await ticks()
  t.same(seen, ["b undefined"])
  t.same(scope.failures, ["b llmDelta Error: now", "a llmDelta Error: late"])
  t.equal(clock.made, 0)

  scope.throws = new Error("blocked")
  const view = scope.viewFor(addon("b", {}))
  const budget = new HookBudget(clock, 10)
  if (view !== undefined) view.budget = budget
  t.throws(runDelta, { message: "blocked" })
  t.equal(view?.budget, budget, "restored although the scope threw")
  await ticks()
  t.match(lines.join("\n"), /addon "a": llmDelta failed when nobody waited for it: blocked/)
})

test("a chain without an addon is made once, and its flows count for the whole chain", (t) => {
  const a = addon("a", { load() {} }, { reads: "bodies" })
  const b = addon("b", { load() {} }, { hold: true })
  const chain = chainOf([a, b])
  const part = chain.without(a)
  t.equal(part, chain.without(a))
  t.same(part.addons, [b])
  t.same([chain.collect, chain.hold, part.collect, part.hold], [true, true, false, true])
  let idle = 0
  chain.acquire()
  part.acquire()
  t.equal(part.flows, 2)
  chain.onIdle(() => {
    idle += 1
  })
  chain.release()
  t.equal(idle, 0)
  part.release()
  t.equal(idle, 1)
  chainOf([]).onIdle(() => {
    idle += 1
  })
  t.equal(idle, 2, "a chain without flows is idle at once")
  t.end()
})

test("outside of flows a failure is one log line with its place, and throws only for onError block", (t) => {
  const lines: string[] = []
  const log = makeLogger((line) => lines.push(line))
  const load = () => {
    throw new Error("broken")
  }
  chainOf([addon("mild", { load })]).run("load", plainScope(log))
  t.match(lines[0], /^addon "mild": load failed: broken \(.*chain\.test\.ts\S*:\d+:\d+\)$/)
  const blocking = chainOf([addon("strict", { load }, { onError: "block" })])
  t.throws(() => blocking.run("load", plainScope(log)), { name: "FlowError", code: "hook-failed", source: "addon" })
  const own = new FlowError("addon", "mine", "as it came")
  const rethrown = addon(
    "own",
    {
      load() {
        throw own
      },
    },
    { onError: "block" },
  )
  t.throws(() => chainOf([rethrown]).run("load", plainScope(log)), own)
  t.equal(plainScope(log).stopped(), false)
  t.equal(describeFailure(rethrown, "load", "text"), 'addon "own": load failed: text')
  t.end()
})

test("a synchronous hook that waits for nothing leaves its budget to the next one, any other does not", async (t) => {
  const scope = scopeOf()
  const budgets: (HookBudget | undefined)[] = []
  const work = gate()
  const look = () => void budgets.push(scope.views.get("a")?.budget)
  const chain = chainOf([
    addon("a", {
      load: look,
      running() {
        look()
        budgets.at(-1)?.pause()
      },
      done() {
        look()
        return work.promise
      },
      // A hook within a hook: the outer one ends first.
      clientConnected() {
        look()
        void chain.run("done", scope)
      },
    }),
  ])
  for (let times = 0; times < 2; times++) chain.run("load", scope)
  chain.run("running", scope)
  chain.run("load", scope)
  const [first, second, paused, next] = budgets
  t.equal(first, second)
  t.equal(first, paused)
  t.not(paused, next, "somebody still waits with it")
  t.equal(paused?.over, true)
  chain.run("clientConnected", scope, client)
  const [, , , , outer, inner] = budgets
  t.equal(outer, next)
  t.not(inner, outer)
  t.equal(outer?.over, true, "the inner hook must not put it back")
  work.open()
  await ticks()
  t.equal(inner?.over, true)
  t.equal(scope.views.get("a")?.budget, undefined)
})

test("whatever an addon throws or returns is its own failure, also what throws when it is looked at", async (t) => {
  const trap = () => {
    throw new Error("looked at")
  }
  const hostile = new Proxy({}, { get: trap, has: trap, getPrototypeOf: trap })
  const hooks: Record<string, () => unknown> = {
    "throws what cannot be looked at": () => {
      throw hostile
    },
    "returns what cannot be looked at": () => hostile,
    "returns a thenable that throws": () => Object.fromEntries([[THEN, trap]]),
    "throws a long text": () => {
      throw new Error("x".repeat(5_000_000))
    },
  }
  for (const hook of ["request", "llmDelta"] as const) {
    for (const [name, odd] of Object.entries(hooks)) {
      const lines: string[] = []
      const scope = plainScope(makeLogger((line) => lines.push(line)))
      await chainOf([addon("odd", { [hook]: odd })]).run(hook, scope, ...([{}, {}] as never))
      await ticks()
      t.match(lines[0], /^addon "odd": (request|llmDelta) failed: /, `${hook} ${name}`)
      t.equal(lines.length, 1)
      t.ok((lines[0]?.length ?? 0) < 5_000)
    }
  }
})
