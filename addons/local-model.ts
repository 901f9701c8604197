/**
 * Models on this machine, in processes of their own: a file that an option names, or those of a folder. Asked at the proxy's own
 * address, or by an addon that sends there what it has decided on (`models`). Each step is a file in local-model/: what a request
 * asks (asked.ts), whose turn it is (host.ts), the prompt (prompt.ts), the answer (answer.ts). Nothing listens anywhere, and
 * nothing that is asked leaves the machine.
 */
import { createRequire } from "node:module"
import { basename, extname } from "node:path"
import { pathToFileURL } from "node:url"
import { type AddonContext, defineAddon, type Flow, findLlama, type LlmFlow, llamaInstall } from "llmproxy"
import { type AnswerHead, streamedAnswer, wholeAnswer } from "./local-model/answer.ts"
import { type Asked, askedIn } from "./local-model/asked.ts"
import { Host, type Turn, Unavailable } from "./local-model/host.ts"
import { ModelError, ModelProcess } from "./local-model/model-process.ts"
import { findModels, type Model, modelNamed } from "./local-model/names.ts"
import { OPTIONS } from "./local-model/options.ts"
import { isHere, listQuestion, PLACE } from "./local-model/place.ts"
import { type Rendered, renderPrompt } from "./local-model/prompt.ts"
import { type Refusal, refusalReply, tooLong } from "./local-model/refusal.ts"
import { Speaking } from "./local-model/speaking.ts"
import { offerModels, WANTED } from "./shared/local-upstream.ts"
import { isOwnAddress } from "./shared/own-address.ts"

/** A file of the build that runs, beside what "llmproxy" is there: a compiled program reads this source, and runs no TypeScript. */
const SCRIPT = scriptBeside(createRequire(import.meta.url).resolve("llmproxy"))
/** Milliseconds between two looks at which models there are. */
const LOOK_MS = 5_000
/** Milliseconds after which a client may try again where nobody knows better. */
const RETRY_MS = 1_000

export default defineAddon({
  name: "local-model",
  options: OPTIONS,
  setup(context) {
    const models = new LocalModels(context)
    return {
      load: () => models.load(),
      configure: () => models.look(),
      requestHeaders: (flow) => models.list(flow),
      request: (flow) => models.refuseOther(flow),
      llmRequest: (flow) => models.answer(flow),
      done: () => models.close(),
    }
  },
})

class LocalModels {
  readonly #context: AddonContext<typeof OPTIONS>
  readonly #host: Host
  #models: Model[] = []
  #withdraw = async () => {}
  #offered = ""
  /** Another addon lists the models of all. */
  #isListed = false

  constructor(context: AddonContext<typeof OPTIONS>) {
    this.#context = context
    const { clock, log, options } = context
    this.#host = new Host({
      clock,
      settings: {
        get maxLoaded() {
          return options.maxLoaded
        },
        get idleMs() {
          return options.idleMinutes * 60_000
        },
      },
      start: (file) => this.#start(file),
      told: (file, text, level) => log[level](`${this.#nameOf(file)}: ${text}`),
    })
  }

  async load(): Promise<void> {
    const { events, signal, clock } = this.#context
    await events.subscribe(WANTED, () => {
      this.#isListed = true
    })
    const lookAgain = () => {
      if (signal.aborted) return
      void this.look()
      clock.after(LOOK_MS, lookAgain)
    }
    clock.after(LOOK_MS, lookAgain)
    // Another version is there: it has processes of its own, and these end with what they still answer.
    signal.addEventListener("abort", () => this.#host.retire())
  }

  /** Which models there are now; others are told. */
  async look(): Promise<void> {
    const { options, log, events, signal } = this.#context
    this.#models = findModels(options)
    const names = this.#models.flatMap((model) => model.names)
    const told = JSON.stringify([names, options.contextSize])
    if (told === this.#offered || signal.aborted) return
    this.#offered = told
    if (this.#models.length > 0) log.info(`models: ${this.#models.map(({ name }) => name).join(", ")}`)
    else log.info(`there is no model: put a .gguf file into ${options.folder}, or name one in LLAMA_MODEL_FILE`)
    if (options.file !== undefined && !this.#models.some(({ isNamed }) => isNamed))
      log.warn(`LLAMA_MODEL_FILE: ${options.file} is no file that can be read`)
    await this.#withdraw()
    this.#withdraw = async () => {}
    if (names.length === 0) return
    const [context, ...others] = new Set(this.#models.map((model) => this.#sizeOf(model.name)))
    const size = context === undefined || others.length > 0 ? {} : { context }
    this.#withdraw = await offerModels(events, { name: "local-model", url: `${PLACE}/v1`, models: names, ...size })
  }

  /** GET /v1/models, and of one model. */
  list(flow: Flow): void {
    const question = listQuestion(flow)
    if (question === undefined || (this.#isListed && !isHere(flow))) return
    const entries = this.#models.flatMap(({ names, name }) =>
      names.map((id) => ({
        ...{ id, object: "model", created: 0, owned_by: "llmproxy" },
        meta: { n_ctx: this.#sizeOf(name) },
      })),
    )
    const entry = entries.find(({ id }) => id === question.id)
    if (question.id === undefined) flow.respond({ json: { object: "list", data: entries } })
    else if (entry !== undefined) flow.respond({ json: entry })
    else if (isHere(flow)) this.#refuse(flow, this.#unknown(question.id))
  }

  /** What was sent here and is no chat: it would go on to a place where nobody is. */
  refuseOther(flow: Flow): Promise<void> | undefined {
    return isHere(flow) ? this.#refuseOther(flow) : undefined
  }

  async #refuseOther(flow: Flow): Promise<void> {
    const [path = ""] = new URL(flow.routed?.url ?? flow.request.url).pathname.split("?")
    if (flow.request.method !== "POST" || !/\/(chat\/)?completions$/.test(path))
      return this.#refuse(flow, {
        status: 404,
        code: "unknown_url",
        message: `the embedded model answers chat/completions and completions, not ${flow.request.method} ${path}`,
      })
    await flow.request.collect().catch(() => {})
    const body = bodyOf(flow)
    if (typeof body !== "object" || body === null || Array.isArray(body) || !("messages" in body || "prompt" in body))
      this.#refuse(flow, {
        status: 400,
        code: "invalid_json",
        message: "the body is no JSON object with messages or a prompt",
      })
  }

  /** No promise is made for what others answer. */
  answer(flow: LlmFlow): Promise<void> | undefined {
    const model = modelNamed(this.#models, flow.llm.request.model)
    if (!isHere(flow) && (model === undefined || !isOwnAddress(flow))) return undefined
    return this.#answer(flow, model)
  }

  async #answer(flow: LlmFlow, model: Model | undefined): Promise<void> {
    const { model: name, dialect, body } = flow.llm.request
    if (dialect !== "openai-chat" && dialect !== "openai-completions")
      return this.#refuse(flow, {
        status: 400,
        code: "unsupported",
        message: `${name} is asked by OpenAI's chat/completions and completions, not as ${dialect}`,
      })
    const asked = askedIn(dialect === "openai-chat" ? "chat" : "completion", body)
    if ("status" in asked) return this.#refuse(flow, asked)
    if (model === undefined) return this.#refuse(flow, this.#unknown(name))
    if (flow.routed === undefined) flow.route({ name: "local-model", reason: `${model.name} is on this machine` })
    flow.keepAlive(`waiting for ${model.name}`)
    try {
      await this.#say(flow, asked, model)
    } catch (thrown) {
      if (flow.signal.aborted) return
      this.#refuse(flow, this.#refusalOf(thrown, model, asked))
    }
  }

  async close(): Promise<void> {
    await this.#host.close()
  }

  /** Resolves when the answer has begun. Rejects where there is none. */
  async #say(flow: Flow, asked: Asked, model: Model): Promise<void> {
    if (!this.#host.loaded.includes(model.file)) this.#findLibrary()
    const turn = await flow.waitFor(this.#host.take(model.file, flow.signal))
    const rendered = await promptOf(turn, asked)
    if ("status" in rendered) {
      turn.release()
      return this.#refuse(flow, rendered)
    }
    const { prompt, style } = rendered
    const { sampling, stop, maxTokens, form } = asked
    const speaking = new Speaking(turn, { prompt, sampling, stop, maxTokens, form, showsControls: style !== undefined })
    const leave = () => speaking.stop()
    flow.signal.addEventListener("abort", leave, { once: true })
    const head: AnswerHead = {
      id: flow.id.replaceAll("-", ""),
      created: Math.floor(flow.timings.start / 1_000),
      model: asked.model,
    }
    await flow.waitFor(speaking.peek())
    if (asked.stream) {
      const body = stopping(streamedAnswer(speaking, asked, { head, style }), leave)
      return flow.respond({ headers: { "Content-Type": "text/event-stream" }, body })
    }
    flow.respond({ json: await flow.waitFor(wholeAnswer(speaking, asked, { head, style })) })
  }

  #start(file: string): ModelProcess {
    const { options, log } = this.#context
    const library = this.#findLibrary()
    const name = this.#nameOf(file)
    let quarter = 0
    return new ModelProcess(
      {
        ...{ script: SCRIPT, file, threads: options.threads },
        contextSize: this.#sizeOf(name),
        library,
      },
      (part) => {
        const now = Math.floor(part * 4)
        if (now > quarter && now < 4) log.info(`${name}: ${now * 25} % is loaded`)
        quarter = Math.max(quarter, now)
      },
    )
  }

  #nameOf(file: string): string {
    return this.#models.find((model) => model.file === file)?.name ?? basename(file)
  }

  /** Throws a ModelError where it is not installed: nothing has to be started to know that. */
  #findLibrary(): string {
    const { folder, url } = findLlama(this.#context.options.library)
    if (url !== undefined) return url
    const message = `node-llama-cpp is not installed: run ${llamaInstall(folder)}`
    this.#context.log.warn(message) // With each try: what is to be done is one command.
    throw new ModelError("library", message)
  }

  #sizeOf(name: string): number {
    const { contextSize, contextSizes } = this.#context.options
    const own = contextSizes[name]
    return typeof own === "number" ? own : contextSize
  }

  #unknown(name: string): Refusal {
    const names = this.#models.flatMap((model) => model.names)
    const choices = names.length === 0 ? "there is none" : `there are ${names.join(", ")}`
    return {
      status: 404,
      code: "model_not_found",
      message: `there is no model ${name} here; ${choices}`,
      param: "model",
    }
  }

  #refusalOf(thrown: unknown, { name }: Model, asked: Asked): Refusal {
    const status = 503
    const code = "model_unavailable"
    if (thrown instanceof Unavailable)
      return { status, code, message: `${name}: ${thrown.message}`, retryMs: thrown.retryMs }
    if (!(thrown instanceof ModelError)) throw thrown
    switch (thrown.kind) {
      case "too-long":
        return tooLong(asked.kind === "chat", thrown.context, thrown.promptTokens)
      case "refused":
        return { status: 400, code: "invalid_request", message: `${name}: ${thrown.message}` }
      case "library":
        return { status, code, message: `${name}: ${thrown.message}` }
      case "died":
      case "model":
        return { status, code, message: `${name}: ${thrown.message}`, retryMs: RETRY_MS }
    }
  }

  #refuse(flow: Flow, refusal: Refusal): void {
    // The sentence with the numbers is OpenAI's own, which programs look for.
    const said = refusal.code === "context_length_exceeded" ? refusal.message : `llmproxy: ${refusal.message}`
    flow.respond(refusalReply({ ...refusal, message: said }))
  }
}

function scriptBeside(library: string): URL {
  return new URL(`../addons/local-model/child${extname(library)}`, pathToFileURL(library))
}

async function promptOf({ facts }: Turn, asked: Asked): Promise<Rendered | Refusal> {
  if (asked.kind === "completion") return { prompt: [{ text: asked.prompt, isMarkup: true }], style: undefined }
  return renderPrompt(facts, asked)
}

/** Calls `leave` when it is not read to its end. */
async function* stopping(events: AsyncGenerator<string>, leave: () => void): AsyncGenerator<string> {
  try {
    yield* events
  } finally {
    leave()
  }
}

function bodyOf({ request }: Flow): unknown {
  try {
    return request.json()
  } catch {
    return undefined
  }
}
