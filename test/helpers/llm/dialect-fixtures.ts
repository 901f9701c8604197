/**
 * The streams in test/fixtures/llm as deltas and completions, for tests that carry an answer from one dialect to another.
 */
import { readdirSync, readFileSync } from "node:fs"
import { Assembler } from "../../../lib/llm/assemble.ts"
import type { Dialect, EncodeContext, StreamEvent } from "../../../lib/llm/dialect.ts"
import { DIALECTS } from "../../../lib/llm/index.ts"
import type { Completion, Delta } from "../../../lib/llm/model.ts"

const ROOT = new URL("../../fixtures/llm/", import.meta.url)
const BODY = { model: "m", messages: [], prompt: "", input: "", stream_options: { include_usage: true } }

export interface StreamedAnswer {
  /** `dialect/name`. */
  readonly title: string
  readonly dialect: Dialect
  readonly completion: Completion
  readonly deltas: readonly Delta[]
}

/** Every stream that holds no error. */
export function streamedAnswers(dialects: readonly Dialect[] = DIALECTS): StreamedAnswer[] {
  return dialects.flatMap((dialect) => {
    const folder = new URL(`${dialect.name}/`, ROOT)
    const names = readdirSync(folder).filter((name) => !name.endsWith(".json"))
    return names.flatMap((name) => {
      const events = decodeAll(dialect, readFileSync(new URL(name, folder)))
      const assembler = assembled(events)
      if (assembler.error) return []
      const deltas = events.flatMap((event) => event.deltas)
      return [{ title: `${dialect.name}/${name}`, dialect, completion: assembler.finish(false), deltas }]
    })
  })
}

/** The events of a whole stream. */
export function decodeAll(dialect: Dialect, bytes: Buffer): StreamEvent[] {
  const decoder = dialect.decoder()
  return [...decoder.feed(bytes), ...decoder.finish()]
}

export function assembled(events: readonly StreamEvent[]): Assembler {
  const assembler = new Assembler()
  for (const event of events) assembler.push(event)
  return assembler
}

/** The context of an answer to a small request. */
export function contextFor(dialect: Dialect, path = "/"): EncodeContext {
  return { id: "made-id", model: "made-model", created: 7, request: dialect.parseRequest(BODY, path) }
}
