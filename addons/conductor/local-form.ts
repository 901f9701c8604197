/**
 * In which form a request goes to a local host: as messages, as one text, or as a raw prompt in which prompt format.
 * `localApi: auto` takes a raw prompt only where the format is certain to be right and to be of use; every other model
 * is best known to the host that serves it. local-request.ts writes the form.
 */
import type { LlmRequest } from "llmproxy"
import { type ChatTemplate, DEEPSEEK_CODER, jinjaTemplate, templateForModel, templateNamed } from "llmproxy/templates"
import type { HostFacts } from "./local-host.ts"
import { type LocalForm, type Obstacle, obstacleIn } from "./local-request.ts"
import { fitsOllama } from "./ollama-request.ts"
import type { ConductorOptions } from "./options.ts"
import { templateFromFile } from "./template-file.ts"

type Options = Pick<ConductorOptions, "localApi" | "template">

/** What this `localApi` cannot carry of the request, whatever the host is. */
export function obstacleFor(request: LlmRequest, localApi: Options["localApi"]): Obstacle | undefined {
  const holdsText = localApi === "completions" || localApi === "chat" || localApi === "llamacpp"
  return holdsText ? obstacleIn(request) : undefined
}

export class LocalForms {
  readonly #options: Options
  /** Templates by their source, or by the path of their file. */
  readonly #made = new Map<string, Promise<ChatTemplate>>()

  constructor(options: Options) {
    this.#options = options
  }

  /** A file may have changed. */
  forget(): void {
    this.#made.clear()
  }

  /** Rejects with an Error that names the option where `template` is wrong whatever the host is. */
  async check(): Promise<void> {
    const { template } = this.#options
    if (template !== undefined && template !== "host") await this.#named(template)
  }

  /** Rejects with an Error where a template cannot be read. */
  async formFor(request: LlmRequest, facts: HostFacts): Promise<LocalForm> {
    const { localApi } = this.#options
    const isOllama = facts.kind === "Ollama"
    const template = await this.#templateFor(facts)
    const rawWire = isOllama ? "ollama" : "openai"
    const form = template ?? DEEPSEEK_CODER
    // By its own API alone Ollama can be told not to cut a prompt.
    const wire = isOllama && fitsOllama(request) ? "ollama" : "openai"
    const messages = { api: "messages", wire, template: form } as const
    switch (localApi) {
      case "completions":
        return { api: "completions", wire: rawWire, template: form }
      case "llamacpp":
        return { api: "completions", wire: "llamacpp", template: form }
      case "chat":
        return { ...messages, api: "chat" }
      case "messages":
        return messages
      case "ollama":
        return fitsOllama(request) ? { ...messages, wire: "ollama" } : messages
      case "auto": {
        if (obstacleIn(request) !== undefined) return messages
        const isSure = this.#options.template !== undefined || template === DEEPSEEK_CODER
        if (isSure) return { api: "completions", wire: rawWire, template: form }
        return messages
      }
    }
  }

  async #templateFor({ model, template: own }: HostFacts): Promise<ChatTemplate | undefined> {
    const { template: wanted, localApi } = this.#options
    const byModel = model === undefined ? undefined : templateForModel(model)
    if (wanted === undefined) {
      if (byModel !== undefined || own === undefined || localApi === "auto") return byModel
      return this.#make(own.source, () => jinjaTemplate(own.source, eosOf(own.eosToken)))
    }
    if (wanted !== "host") return this.#named(wanted)
    if (own === undefined) throw new Error("conductor.template host: this host does not tell its template")
    return this.#make(own.source, () => jinjaTemplate(own.source, eosOf(own.eosToken)))
  }

  #named(template: string): ChatTemplate | Promise<ChatTemplate> {
    return templateNamed(template) ?? this.#make(template, () => templateFromFile(template))
  }

  #make(key: string, make: () => Promise<ChatTemplate>): Promise<ChatTemplate> {
    const before = this.#made.get(key)
    if (before !== undefined) return before
    const made = make()
    this.#made.set(key, made)
    // A file that is mended serves the next chat.
    made.catch(() => this.#made.get(key) === made && this.#made.delete(key))
    return made
  }
}

function eosOf(eosToken: string | undefined): { eosToken?: string } {
  return eosToken === undefined ? {} : { eosToken }
}
