/**
 * What a host says of the prompt it got, read from its answer on the way: how many tokens it was, which the ratio is
 * learnt from, and whether Ollama has cut it without a word. Its number comes with the end of the answer, so an answer
 * that may be one to a cut prompt is held until then.
 */
import type { Delta } from "llmproxy"
import type { HostFacts } from "./local-host.ts"
import type { LocalForm } from "./local-request.ts"

/** Where no window is known: Ollama's smallest, unless somebody asks for less, is twice as large. */
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

/**
 * `learn` is told the host's count of a prompt that was not cut. One that fills Ollama's window was, whatever we counted:
 * no room would be left for the answer.
 */
export function watchPrompt(facts: HostFacts, tokens: number, learn: (actual: number) => void): PromptWatch {
  const window = windowOf(facts) ?? Number.POSITIVE_INFINITY
  const watch: PromptWatch = {
    cutTo: undefined,
    see(delta) {
      if (delta.type !== "usage" || delta.usage.source !== "provider") return
      const { inputTokens } = delta.usage
      if (inputTokens === undefined) return
      const isPart = tokens >= CUT_TOKENS_MIN && inputTokens < tokens * CUT_PART
      if (facts.kind === "Ollama" && (isPart || inputTokens >= window)) watch.cutTo = inputTokens
      else learn(inputTokens)
    },
  }
  return watch
}

/** The window that the request has, as far as it is known. */
export function windowOf({ context, holds }: HostFacts): number | undefined {
  return holds ? context : undefined
}

/**
 * Whether the answer has to be read to its end before anybody may see it. `keepsWord`: the host has refused a prompt that
 * was too long; of a version that says nothing (0.0.0 is a build from source) only that tells.
 */
export function mayBeCut(facts: HostFacts, { wire }: LocalForm, tokens: number, keepsWord: boolean): boolean {
  if (facts.kind !== "Ollama" || (wire === "ollama" && (keepsWord || isHonest(facts.version)))) return false
  const window = windowOf(facts)
  return window === undefined ? tokens >= CUT_TOKENS_MIN : tokens >= window * CUT_PART
}

function isHonest(version: string | undefined): boolean {
  const [major = 0, minor = 0] = (version ?? "").split(".").map(Number)
  return major > 0 || minor >= HONEST_MINOR
}
