/**
 * Calls hooks: in list order, one after the other, synchronous or not. What nobody listens to costs a property lookup,
 * and a hook that returns no promise costs no promise and no timer, because most hooks of most flows are like that.
 * A chain never changes: a reload makes a new one, and flows finish on the one that they began with.
 * What a failure means is left to the scope (a flow, or `plainScope`): it knows what can still be stopped.
 */
import type { Asks, FailurePolicy, Reads } from "../api/addon.ts"
import type { Flow } from "../api/flow.ts"
import { HOOK_NAMES, type HookName, type Hooks } from "../api/hooks.ts"
import type { Clock } from "../base/clock.ts"
import { addonFailure, FlowError, fullMessageOf, messageOf } from "../base/errors.ts"
import type { Logger } from "../base/log.ts"
import { HookBudget } from "./hook-budget.ts"
import { stackOf, thrownAt } from "./thrown-at.ts"

export { HookBudget, HookWait } from "./hook-budget.ts"

export interface LoadedAddon {
  readonly name: string
  readonly onError: FailurePolicy
  readonly reads: Reads | undefined
  readonly hold: boolean
  readonly asks?: Asks | undefined
  /** Whether it puts keys of the program's own into requests. */
  readonly givesKeys?: boolean | undefined
  /** Bound to the object that declared them. */
  readonly hooks: Partial<Hooks>
  /** The absolute path of its entry; undefined for an addon that the program itself brings. */
  readonly file: string | undefined
}

/** Who sends a request, and whose time stands still while its answer is awaited. */
export interface Sender {
  readonly addon: LoadedAddon
  /** What `promise` becomes, for that addon. */
  wait<T>(promise: Promise<T>): Promise<T>
}

/** Of this name, which addons do not have, is what gives a flow into another addon's hands. */
export const HANDED_TO: unique symbol = Symbol("llmproxy.handedTo")

export interface Handed {
  [HANDED_TO](addon: LoadedAddon): Pick<Flow, "send">
}

/** A scope as one addon sees it. */
export interface ScopeView {
  /** The time budget of the addon's hook that runs now, for `pause()` and `resume()`; `llmDelta` has none. */
  budget: HookBudget | undefined
}

/** On whose behalf hooks run. */
export interface HookScope {
  /**
   * What `addon`'s hooks get where the scope itself is their argument: one object for each addon, as only that tells
   * later whose call it was. Undefined: nothing depends on it.
   */
  viewFor(addon: LoadedAddon): ScopeView | undefined
  /** Whether the addons that follow are skipped: the flow was answered or killed. Asked after each hook in STOPPABLE. */
  stopped(): boolean
  /** Asked after each `responseHeaders`: the answer is replaced, and the addons that follow are told of the other one. */
  replacing?(): Promise<void> | undefined
  /** A hook threw, rejected or ran out of time. Returns to go on with the next addon, throws to end the run. */
  failed(addon: LoadedAddon, hook: HookName, error: unknown): void
}

export interface HookChainOptions {
  clock: Clock
  /** Milliseconds that one asynchronous hook may work before it counts as failed: the option hookBudgetMs. */
  budgetMs: number
  /** Hears of failures that come too late for any scope. */
  log?: Logger
}

/** Hooks that a flow can answer in: what follows them is skipped then. Later hooks tell every addon, whatever happened. */
const STOPPABLE: ReadonlySet<HookName> = new Set<HookName>(["authenticate", "requestHeaders", "request", "llmRequest"])

/** Hooks that hear of what an answer means. */
const ANSWER_HOOKS: readonly HookName[] = ["llmDelta", "llmResponse", "llmError"]

interface Listener {
  readonly addon: LoadedAddon
  readonly hook: HookName
  /** Whether a flow that was answered in it goes no further; whether it may put another answer in the present one's place. */
  readonly stops: boolean
  readonly replaces: boolean
  /** Takes what `run` was given for this hook: its signature is where the types are. */
  readonly call: (...args: never) => unknown
}

export class HookChain {
  readonly addons: readonly LoadedAddon[]
  /** Whether an addon wants every request's body. */
  readonly collect: boolean
  /** Whether anybody wants to know what a dialect's requests mean; what its answers mean. */
  readonly readsLlm: boolean
  readonly readsAnswers: boolean
  /** Whether an addon holds every LLM answer. */
  readonly hold: boolean
  /** Whether an addon is to be asked about every way in. */
  readonly asksEverywhere: boolean
  readonly #options: HookChainOptions
  readonly #table: Partial<Record<HookName, readonly Listener[]>>
  readonly #root: HookChain
  readonly #without = new Map<LoadedAddon, HookChain>()
  #flows = 0
  /** Of a hook that has ended: nobody holds it any more. */
  #spare: HookBudget | undefined
  #onIdle: (() => void) | undefined

  constructor(addons: readonly LoadedAddon[], options: HookChainOptions, root?: HookChain) {
    this.addons = addons
    this.collect = addons.some(({ reads }) => reads === "bodies")
    this.hold = addons.some((addon) => addon.hold)
    this.asksEverywhere = addons.some(({ asks, hooks }) => asks === "everywhere" && hooks.authenticate !== undefined)
    this.#options = options
    this.#root = root ?? this
    this.#table = Object.fromEntries(
      HOOK_NAMES.map((hook) => [hook, listenersOf(hook, addons)]).filter(([, listeners]) => listeners !== undefined),
    )
    const listens = (hooks: readonly HookName[]) => hooks.some((hook) => this.has(hook))
    this.readsAnswers = addons.some(({ reads }) => reads !== undefined) || listens(ANSWER_HOOKS)
    this.readsLlm = this.readsAnswers || this.has("llmRequest")
  }

  has(hook: HookName): boolean {
    return this.#table[hook] !== undefined
  }

  /** The same chain for a flow that `addon` has sent: every addon sees it but its sender, in whatever version. */
  without(addon: LoadedAddon): HookChain {
    let chain = this.#without.get(addon)
    if (chain === undefined) {
      const others = this.addons.filter(({ name }) => name !== addon.name)
      chain = new HookChain(others, this.#options, this.#root)
      this.#without.set(addon, chain)
    }
    return chain
  }

  /**
   * Runs a hook of every addon that has it. Returns undefined when all of them were synchronous. What `scope.failed`
   * throws is thrown here, or rejects the promise. `llmDelta` is never waited for.
   */
  run<H extends HookName>(hook: H, scope: HookScope, ...args: Parameters<Hooks[H]>): void | Promise<void> {
    const listeners = this.#table[hook]
    if (listeners === undefined) return undefined
    return hook === "llmDelta" ? this.#observe(listeners, scope, args) : this.#runFrom(0, listeners, scope, args)
  }

  /** The same for those addons alone that `isMeant` names; undefined: for all. */
  runFor<H extends HookName>(
    isMeant: ((addon: LoadedAddon) => boolean) | undefined,
    hook: H,
    scope: HookScope,
    ...args: Parameters<Hooks[H]>
  ): void | Promise<void> {
    const all = this.#table[hook] ?? []
    return this.#runFrom(0, isMeant === undefined ? all : all.filter(({ addon }) => isMeant(addon)), scope, args)
  }

  /** A flow begins on this chain. */
  acquire(): void {
    this.#root.#flows += 1
  }

  /** The flow has ended, its last hook included. */
  release(): void {
    const root = this.#root
    root.#flows -= 1
    if (root.#flows === 0) root.#onIdle?.()
  }

  /** Flows that run on this chain, child flows included. */
  get flows(): number {
    return this.#root.#flows
  }

  /** Calls `fn` whenever the last flow has ended, at once if there is none. For a chain that gets no new flows. */
  onIdle(fn: () => void): void {
    this.#root.#onIdle = fn
    if (this.#root.#flows === 0) fn()
  }

  #runFrom(
    first: number,
    listeners: readonly Listener[],
    scope: HookScope,
    args: readonly unknown[],
  ): void | Promise<void> {
    for (let i = first; i < listeners.length; i++) {
      const listener = listeners[i]
      if (listener === undefined) break
      const pending = this.#call(listener, scope, args)
      if (pending !== undefined) {
        return pending.then(async () => {
          if (listener.replaces) await scope.replacing?.()
          if (!(listener.stops && scope.stopped())) return this.#runFrom(i + 1, listeners, scope, args)
        })
      }
      const other = listener.replaces ? scope.replacing?.() : undefined
      if (other !== undefined) return other.then(() => this.#runFrom(i + 1, listeners, scope, args))
      if (listener.stops && scope.stopped()) break
    }
    return undefined
  }

  #call(listener: Listener, scope: HookScope, args: readonly unknown[]): Promise<void> | undefined {
    const view = scope.viewFor(listener.addon)
    const before = view?.budget
    const budget = this.#spare ?? new HookBudget(this.#options.clock, this.#options.budgetMs)
    this.#spare = undefined
    if (view !== undefined) view.budget = budget
    let pending: PromiseLike<unknown> | undefined
    try {
      pending = pendingIn(Reflect.apply(listener.call, undefined, seen(args, scope, view)))
    } catch (error) {
      this.#leave(view, budget, before)
      scope.failed(listener.addon, listener.hook, error)
      return undefined
    }
    if (pending !== undefined)
      return this.#settle(pending, listener, scope, budget, () => this.#leave(view, budget, before))
    this.#leave(view, budget, before)
    return undefined
  }

  #leave(view: ScopeView | undefined, budget: HookBudget, before: HookBudget | undefined): void {
    // Another hook of the same flow may have begun meanwhile (`error`, when the client leaves): it is not disturbed.
    const isLatest = view === undefined || view.budget === budget
    // Most hooks are synchronous and wait for nothing: the next one takes their budget as it is.
    if (isLatest && budget.untouched) this.#spare = budget
    else budget.end()
    if (view !== undefined && isLatest) view.budget = before?.over ? undefined : before
  }

  /** Waits for an asynchronous hook, for as long as its budget lasts. */
  #settle(
    result: PromiseLike<unknown>,
    listener: Listener,
    scope: HookScope,
    budget: HookBudget,
    leave: () => void,
  ): Promise<void> {
    const { addon, hook } = listener
    return new Promise((resolve, reject) => {
      const fail = (error: unknown) => {
        leave()
        try {
          scope.failed(addon, hook, error)
          resolve()
        } catch (ending) {
          reject(ending)
        }
      }
      budget.start(() => fail(timeoutOf(listener, this.#options.budgetMs)))
      // Whatever has a `then` is an addon's, and may throw there: a promise of ours takes that.
      Promise.resolve(result).then(
        () => {
          if (budget.over) return
          leave()
          resolve()
        },
        (error: unknown) => {
          if (!budget.over) fail(error)
          else this.#options.log?.warn(`${describeFailure(addon, hook, error)} (after its time had run out)`)
        },
      )
    })
  }

  /** `llmDelta`: nobody waits for what a listener returns, because the bytes are on their way already. */
  #observe(listeners: readonly Listener[], scope: HookScope, args: readonly unknown[]): void {
    for (const listener of listeners) {
      const view = scope.viewFor(listener.addon)
      const before = view?.budget
      if (view !== undefined) view.budget = undefined
      try {
        this.#observeOne(listener, scope, seen(args, scope, view))
      } finally {
        if (view !== undefined) view.budget = before
      }
    }
  }

  #observeOne(listener: Listener, scope: HookScope, args: readonly unknown[]): void {
    const { addon, hook, call } = listener
    let pending: PromiseLike<unknown> | undefined
    try {
      pending = pendingIn(Reflect.apply(call, undefined, args))
    } catch (error) {
      scope.failed(addon, hook, error)
    }
    if (pending === undefined) return
    Promise.resolve(pending).catch((error: unknown) => this.#failedUnwatched(addon, hook, scope, error))
  }

  /** Nobody waits, so what `failed` throws to end a run can only be said. */
  #failedUnwatched(addon: LoadedAddon, hook: HookName, scope: HookScope, error: unknown): void {
    try {
      scope.failed(addon, hook, error)
    } catch (ending) {
      this.#options.log?.warn(`addon "${addon.name}": ${hook} failed when nobody waited for it: ${messageOf(ending)}`)
    }
  }
}

/** A scope for hooks outside of flows: a failure is one line in the log, and throws when the addon says `block`. */
export function plainScope(log: Logger): HookScope {
  return {
    viewFor: () => undefined,
    stopped: () => false,
    failed(addon, hook, error) {
      reportFailure(log, addon, hook, error)
      if (addon.onError !== "block") return
      const line = describeFailure(addon, hook, error)
      if (error instanceof FlowError) throw error // In words of its own.
      const told = `addon "${addon.name}" failed in ${hook}; the log of llmproxy has the reason`
      throw addonFailure("hook-failed", line, told, error, 502)
    },
  }
}

type Named = Pick<LoadedAddon, "name">

/** One line: which addon, which of its functions, what it threw and why, and where. */
export function describeFailure(addon: Named, hook: string, error: unknown): string {
  const place = thrownAt(error)
  return `addon "${addon.name}": ${hook} failed: ${fullMessageOf(error)}${place === undefined ? "" : ` (${place})`}`
}

/** That line as an error, and the whole stack for who asks for debug messages. */
export function reportFailure(log: Logger, addon: Named, hook: string, error: unknown): void {
  log.error(describeFailure(addon, hook, error))
  for (const line of stackOf(error)) log.debug(line.trimEnd())
}

function listenersOf(hook: HookName, addons: readonly LoadedAddon[]): readonly Listener[] | undefined {
  const listeners: Listener[] = []
  for (const addon of addons) {
    const call = addon.hooks[hook]
    if (call === undefined) continue
    listeners.push({ addon, hook, stops: STOPPABLE.has(hook), replaces: hook === "responseHeaders", call })
  }
  return listeners.length > 0 ? listeners : undefined
}

/** A hook's arguments for one addon. */
function seen(args: readonly unknown[], scope: HookScope, view: ScopeView | undefined): readonly unknown[] {
  if (view === undefined || args[0] !== scope) return args
  // No hook has more than two arguments; a delta's are on the path of every event.
  return args.length === 1 ? [view] : [view, args[1]]
}

function pendingIn(result: unknown): PromiseLike<unknown> | undefined {
  return isThenable(result) ? result : undefined
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function"
}

function timeoutOf({ addon, hook }: Listener, budgetMs: number): FlowError {
  const text = `addon "${addon.name}": ${hook} took more than ${budgetMs} ms; do slow work outside of hooks, or raise hookBudgetMs`
  return new FlowError("addon", "hook-timeout", text)
}
