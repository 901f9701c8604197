/** Whether models can be run here: what the addon local-model needs is installed by who wants it, with one command. */
import { resolveOptions } from "../../options/resolve.ts"
import type { OptionSources } from "../../options/sources.ts"
import type { OptionSpecs } from "../../options/spec.ts"
import { findLlama, type LlamaPlace, llamaInstall } from "../../services/llama-package.ts"
import type { Finding, Patient } from "./check.ts"

/** Of the addon's own declaration, what is needed here. */
const OPTIONS = { library: { type: "string", help: "" } } as const satisfies OptionSpecs

/** Throws a UsageError for a value of another type. */
export function llamaPlace(sources: OptionSources): LlamaPlace {
  return findLlama(resolveOptions("local-model", OPTIONS, sources).library)
}

export async function checkLocalModel({ llama: { folder, url } }: Patient): Promise<Finding[]> {
  if (url !== undefined) return [{ mark: "good", text: "node-llama-cpp is installed: -s local-model runs models here" }]
  const text = "node-llama-cpp is not installed: -s local-model cannot run models here"
  return [{ mark: "note", text, fix: llamaInstall(folder) }]
}
