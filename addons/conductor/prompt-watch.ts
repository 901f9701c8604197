/**
 * What a host says of the prompt it got, read from its answer on the way: how many tokens it was, which the ratio is
 * learnt from, and whether Ollama has cut it without a word. Its number comes with the end of the answer, so an answer
 * that may be one to a cut prompt is held until then.
 */
import type { Delta } from "llmproxy"
import type { LocalForm } from "./local-form.ts"
import type { HostFacts } from "./local-host.ts"

/** Ollama's smallest window is 2,048: it cuts no prompt that is far below. */
const CUT_TOKENS_MIN = 1_024
/** A prompt of which the host saw less than this part was cut; tokenizers do not differ that much. */
const CUT_PART = 0.5
/** From this minor version (0.13) on Ollama keeps its word not to cut. */
const HONEST_MINOR = 13

export interface PromptWatch {
  /** The tokens that the host saw of the prompt; undefined while it has not said, or all of them were seen. */
  cutTo: number | undefined
  see(delta: Delta): void
}

/** `learn` is told the host's count of a prompt that was not cut. */
export function watchPrompt(kind: HostFacts["kind"], tokens: number, learn: (actual: number) => void): PromptWatch {
  const watch: PromptWatch = {
    cutTo: undefined,
    see(delta) {
      if (delta.type !== "usage" || delta.usage.source !== "provider") return
      const { inputTokens } = delta.usage
      if (inputTokens === undefined) return
      if (kind === "Ollama" && tokens >= CUT_TOKENS_MIN && inputTokens < tokens * CUT_PART) watch.cutTo = inputTokens
      else learn(inputTokens)
    },
  }
  return watch
}

/** Whether the answer has to be read to its end before anybody may see it. */
export function mayBeCut(
  { kind, version, context, isLoaded }: HostFacts,
  { wire }: LocalForm,
  tokens: number,
): boolean {
  if (kind !== "Ollama" || tokens < CUT_TOKENS_MIN) return false
  if (wire === "ollama" && keepsItsWord(version)) return false
  return !(isLoaded && context !== undefined && tokens < context * CUT_PART)
}

function keepsItsWord(version: string | undefined): boolean {
  const [major = 0, minor = 0] = (version ?? "").split(".").map(Number)
  return major > 0 || minor >= HONEST_MINOR
}
