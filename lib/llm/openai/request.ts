/**
 * What a request of OpenAI's chat and completions dialects has in common: Azure's model in the path, and several
 * choices.
 */
import { type JsonObject, numberOf, stringOf } from "../../base/json.ts"
import { type ParameterNames, RequestView } from "../request-view.ts"

const NAMES = { maxTokens: "max_tokens", stop: "stop" }

export abstract class OpenAiRequest extends RequestView {
  readonly #pathModel: string | undefined

  constructor(body: JsonObject, path: string, names: Omit<ParameterNames, keyof typeof NAMES>) {
    super(body, { ...NAMES, ...names })
    this.#pathModel = deploymentOf(path)
  }

  /** The body's, else Azure's deployment in the path. Setting it writes the body; the path stays. */
  override get model(): string {
    return stringOf(this.body.model) ?? this.#pathModel ?? ""
  }

  override set model(value: string) {
    this.body.model = value
  }

  override get n(): number {
    return numberOf(this.body.n) ?? 1
  }

  override set n(value: number) {
    this.body.n = value
  }
}

/** `gpt-4o` of `/openai/deployments/gpt-4o/chat/completions?api-version=…`. */
function deploymentOf(path: string): string | undefined {
  const name = /\/openai\/deployments\/([^/?]+)\//.exec(path)?.[1]
  if (name === undefined) return undefined
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
