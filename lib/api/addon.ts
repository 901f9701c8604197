/**
 * What an addon is: a name, options, a failure policy and hooks. `defineAddon` is an identity function that gives types;
 * a plain object, or a module that exports functions named like hooks, works as well. chain.ts calls the hooks.
 */

import type { Clock } from "../base/clock.ts"
import type { Logger } from "../base/log.ts"
import type { Redactor } from "../base/secrets/redactor.ts"
import type { LlmRequest } from "../llm/model.ts"
import type { TokenCount } from "../llm/tokens/counter.ts"
import type { OptionSpecs, OptionValues } from "../options/spec.ts"
import type { DeclareCommand } from "./command.ts"
import type { Events } from "./events.ts"
import type { Answer, Flow, SendOptions, SendRequest } from "./flow.ts"
import type { Hooks } from "./hooks.ts"
import type { Metrics } from "./metrics.ts"
import type { EndpointDocument, Serve, ServeContext } from "./serve.ts"
import type { FlowHistory, OpenTables, Records } from "./store.ts"

/**
 * What an addon wants to have been read when its hooks look at a flow. `llm`: requests and answers that speak a dialect, as
 * for an addon with hooks for them: `flow.llm` and its completion are there in `response` and `error`. `bodies`: that, and
 * the body of every request is collected, so that `request` can read it.
 */
export type Reads = "llm" | "bodies"

/** Where `authenticate` is asked: of requests, or of every way in. */
export type Asks = "requests" | "everywhere"

/**
 * `continue`: log and go on without it. `block`: the request is stopped, with 500, or 503 while what addons keep cannot be reached; the
 * reason is in the log, and reaches no client.
 */
export type FailurePolicy = "continue" | "block"

export interface TokenService {
  /** Tokens of a whole request by OpenAI's rules. Never blocks the event loop. */
  countRequest(request: LlmRequest): Promise<TokenCount>
  /** Tokens of a text. */
  countText(text: string, model?: string): Promise<number>
  /** An upper bound that costs nothing: a token is at least one byte. */
  boundRequest(request: LlmRequest): number
  /** Loads what counting for `model` needs, so that the first request does not wait for it. */
  warm(model?: string): Promise<void>
  /**
   * Opens a model's own vocabulary: a tokenizer.json or a GGUF file. Rejects with an Error that names the file and what
   * is wrong with it; named "InexactVocabularyError" where only exact counting is not possible.
   */
  vocabulary(file: string): Promise<TokenVocabulary>
}

/** A model's own vocabulary, in a thread of its own. Its counts never reject: what cannot be counted is estimated. */
export interface TokenVocabulary {
  /** The file's name, for people. */
  readonly name: string
  /** What a count names as its method; another one: it could not be counted now, and was guessed from its bytes. */
  readonly method: string
  /** Tokens of a raw prompt, those that a host puts around it included. */
  countPrompt(prompt: string): Promise<TokenCount>
  /** Tokens of a request as messages: its texts by the vocabulary, their form by OpenAI's rules, so never "exact". */
  countRequest(request: LlmRequest): Promise<TokenCount>
  close(): Promise<void>
}

export interface OwnSendOptions extends SendOptions {
  /**
   * The flow that it is for: `send` is then as that flow's own, and ends with it. Its client and its locality are the
   * child's, and the time budget of the hook that awaits it stands still. Default: none.
   */
  parent?: Flow
  /**
   * Who has asked for it, as the context of a handler of `serve`: the flow's client is theirs then (user, label, claims,
   * address, and whether keys may be used), and nobody is asked again who that is. Not beside `parent`. Default: the addon itself.
   */
  caller?: ServeContext
}

/**
 * Sends a request in a flow of its own, which this addon's hooks never see and all other addons' do. Resolves as
 * `flow.send` does. With a `caller` it is that client's flow. Without a parent and a caller nobody's client has asked for it: `flow.parent`
 * is undefined, `flow.client.id` is `addon:NAME` with no address, `authenticate` and rules of access do not count, and it goes through the proxy of the first listener in
 * mode `upstream`. It ends by itself, by `signal`, by its answer's `abort()`, or when the program stops; at most 256 of an addon
 * run at a time. No flow's hook is known to await it: there `flow.waitFor` lets the time budget stand still; that of
 * `running` and `configure` does by itself.
 *
 * Rejects with a FlowError: `send-too-early` before `running` (in `setup` and `load`, and in a command, which has no proxy);
 * `send-too-late` without a parent once this version was replaced; `ended` when the parent has; `stopped` when the program stops;
 * `too-many-flows`; `aborted`. With a TypeError for a request that cannot be sent.
 */
export type Send = (request: SendRequest, options: OwnSendOptions) => Promise<Answer>

/**
 * What an addon has beside its flows. It knows of no hook: one that waits for `tokens`, `history`, `records` or `tables` does so with
 * `flow.waitFor`, so that its time budget stands still.
 */
export interface AddonContext<O extends OptionSpecs = OptionSpecs> {
  /** Live: always the present values. */
  readonly options: OptionValues<O>
  /** Survives reloads of the addon. */
  readonly state: Map<string, unknown>
  /** Aborted when this version of the addon is replaced; flows that it has begun finish on it. */
  readonly signal: AbortSignal
  /** Asks a model, or any other server, from wherever it is called: a hook, a timer, `running`, a handler of `serve`. */
  readonly send: Send
  readonly log: Logger
  readonly clock: Clock
  readonly tokens: TokenService
  /** Takes secrets out of texts: it knows the program's own keys and passwords. For what an addon shows or writes. */
  readonly redactor: Redactor
  /** Where flows are kept. Nothing is loaded or opened before the first one. */
  readonly history: FlowHistory
  /**
   * Records of the addon's own, under a name of its choice: kept over restarts, seen by no other addon. To be asked for in
   * `setup`, so that a place that cannot be read is told of at the start.
   */
  records(name: string): Records
  /** Tables of the addon's own, for what records are too small for. */
  readonly tables: OpenTables
  /** Adds a command to llmproxy's own: `llmproxy -s ADDON NAME`. */
  readonly command: DeclareCommand
  /** Serves pages and APIs of the addon's own at the proxy's address. */
  readonly serve: Serve
  /**
   * Describes what the addon answers in its hooks at the proxy's address, for `GET /docs`, which asks when somebody looks. To be called
   * in `setup`. Nothing is served by it.
   */
  describe(endpoints: () => EndpointDocument): void
  /** What addons tell each other. */
  readonly events: Events
  /** What the addon counts and measures, for whoever watches the proxy. */
  readonly metrics: Metrics
  /**
   * What an environment variable says, else the .env file; undefined: it is not set, or empty. For keys that an option names
   * instead of holding them (`key: env NAME`): its value is a secret from then on, and shown nowhere.
   */
  variable(name: string): string | undefined
}

export interface AddonDefinition<O extends OptionSpecs = OptionSpecs> extends Partial<Hooks> {
  /** Lower-case words joined by hyphens; the prefix of its options. Default: the file's name. */
  name?: string
  /** Default: continue. */
  onError?: FailurePolicy
  options?: O
  /** What is read for it beside what its hooks ask for. Default: nothing. */
  reads?: Reads
  /**
   * Where its `authenticate` is asked. "everywhere": also before a tunnel is opened (CONNECT, SOCKS5) and of what addons serve
   * to everybody (`open`); clients of all machines may connect then, and a tunnel's client is that of the requests in it.
   * Default: "requests", as the hook says.
   */
  asks?: Asks
  /**
   * Whether it puts keys of the program's own into requests. Where other machines reach a listener (--host) and nobody has to
   * authenticate, the program then does not start. Default: no.
   */
  givesKeys?: boolean | ((options: OptionValues<O>) => boolean)
  /** Hold every LLM answer until `llmResponse` has accepted it. */
  hold?: boolean
  /** Other addons to load behind this one, by path from this file. A function is asked once, when the addon is loaded. */
  addons?: readonly string[] | ((options: OptionValues<O>) => readonly string[])
  /** Makes the hooks, with a closure for what they remember. */
  setup?(context: AddonContext<O>): Partial<Hooks> | undefined
}

/** Gives an addon's declaration its types. */
export function defineAddon<const O extends OptionSpecs = Record<never, never>>(
  addon: AddonDefinition<O>,
): AddonDefinition<O> {
  return addon
}
