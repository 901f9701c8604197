/**
 * What a local answer has to lose before a client sees it: the marks of the prompt's format, also those cut in two, and
 * white space that nothing follows, because an answer of nothing else is empty and has to count as such.
 */
import type { Delta, DeltaTransform, FinishReason } from "llmproxy"
import { StopFilter } from "llmproxy/templates"

const STOPPED: FinishReason = { unified: "stop", raw: "stop" }

interface ChoiceText {
  readonly stops: StopFilter | undefined
  /** White space before the first word. */
  blank: string
  begun: boolean
}

/** `cut`: where an answer that continues a raw prompt ends, by its format; undefined for one that does not. */
export function answerFilter(cut: readonly string[] | undefined): DeltaTransform {
  const choices = new Map<number, ChoiceText>()
  const choiceOf = (index: number): ChoiceText => {
    const choice = choices.get(index) ?? {
      stops: cut === undefined ? undefined : new StopFilter(cut),
      blank: "",
      begun: false,
    }
    choices.set(index, choice)
    return choice
  }
  return (delta) => {
    if (delta.type === "text") {
      const choice = choiceOf(delta.index)
      return textDelta(delta.index, visible(choice, choice.stops?.push(delta.text) ?? delta.text))
    }
    // A chunk without a text, a call or a finish reason, which parsers stumble over and nobody needs.
    if (delta.type === "other") return undefined
    if (delta.type !== "finish") return delta
    const choice = choiceOf(delta.index)
    const rest = textDelta(delta.index, visible(choice, choice.stops?.finish() ?? ""))
    // The host did not see the mark, and went on until something else stopped it.
    const finish: Delta = choice.stops?.stopped === true ? { ...delta, reason: STOPPED } : delta
    return rest === undefined ? finish : [rest, finish]
  }
}

function visible(choice: ChoiceText, text: string): string {
  if (choice.begun) return text
  choice.blank += text
  if (choice.blank.trim() === "") return ""
  choice.begun = true
  return choice.blank
}

function textDelta(index: number, text: string): Delta | undefined {
  return text === "" ? undefined : { type: "text", index, text }
}
