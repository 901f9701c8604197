/** Whatever an addon makes of a stream, what leaves says exactly that, in a form that can be read. */
import { test } from "tap"
import { isObject } from "../../../lib/base/json.ts"
import { DIALECTS } from "../../../lib/llm/index.ts"
import type { Delta } from "../../../lib/llm/model.ts"
import { editStream, fixtureStreams, linesOf, told } from "../../helpers/llm/edited-streams.ts"

const ROUNDS = 60

/** Numbers from 0 to below `max`, the same for the same seed (a linear congruential generator). */
function numbers(seed: number): (max: number) => number {
  let state = seed
  return (max) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * max)
  }
}

/** An addon of moods: it keeps, changes, drops, doubles and holds texts back, adds some, and drops whole calls. */
function moody(next: (max: number) => number): { edit: (delta: Delta) => Delta[]; said: Delta[] } {
  const held: Delta[] = []
  const said: Delta[] = []
  const dropsCall = next(3)
  const made = (delta: Delta): Delta[] => {
    if (delta.type === "toolCall") return delta.call === dropsCall ? [] : [delta]
    if (delta.type === "finish") return [...held.splice(0), delta]
    if (!("text" in delta)) return [delta]
    switch (next(8)) {
      case 0:
        return []
      case 1:
        return [{ ...delta, text: `${delta.text}!` }]
      case 2:
        return [delta, { ...delta, text: "?" }]
      case 3:
        return [{ type: "text", index: delta.index, text: "+" }, delta]
      case 4:
        held.push(delta)
        return []
      case 5:
        return [...held.splice(0), delta]
      default:
        return [delta]
    }
  }
  return {
    said,
    edit: (delta) => {
      const deltas = made(delta)
      said.push(...deltas)
      return deltas
    },
  }
}

function textOf(said: readonly Delta[], type: "text" | "reasoning"): string {
  return said.map((delta) => (delta.type === type && delta.index === 0 ? delta.text : "")).join("")
}

/** What begins ends, one after the other, and numbers have no gap. */
function faultOf(stream: string): string | undefined {
  let open: unknown
  let next = 0
  for (const json of linesOf(stream).filter(isObject)) {
    const number = json.index ?? json.output_index
    if (json.type === "content_block_start" || json.type === "response.output_item.added") {
      if (open !== undefined) return `${number} begins within ${open}`
      if (number !== next++) return `${number} has another's number`
      open = number
    } else if (json.type === "content_block_stop" || json.type === "response.output_item.done") {
      if (open !== number) return `${number} ends, ${open} is open`
      open = undefined
    } else if (typeof json.type === "string" && number !== undefined && number !== open)
      return `${json.type} in ${number}`
  }
  return open === undefined ? undefined : `${open} does not end`
}

for (const dialect of DIALECTS) {
  for (const { name, bytes } of fixtureStreams(dialect)) {
    const came = told(dialect, bytes.toString("utf8"))
    if (!came.done || came.failed) continue
    const isStrict = faultOf(bytes.toString("utf8")) === undefined

    test(`${dialect.name}/${name}: what leaves says what an addon made of what came`, async (t) => {
      for (let seed = 1; seed <= ROUNDS; seed++) {
        const { edit, said } = moody(numbers(seed))
        const stream = editStream(dialect, bytes, edit)
        const { completion, done, others } = told(dialect, stream)
        t.strictSame(
          {
            text: completion.text,
            reasoning: completion.reasoning,
            calls: completion.toolCalls.map(({ name, arguments: json }) => [name, json]),
            usage: completion.usage,
            done,
            // A thought that is left without its text is told as such.
            others: Math.min(others, came.others),
            fault: isStrict ? faultOf(stream) : undefined,
          },
          {
            text: textOf(said, "text"),
            reasoning: textOf(said, "reasoning"),
            calls: came.completion.toolCalls
              .filter((_, at) => said.some((delta) => delta.type === "toolCall" && delta.call === at))
              .map(({ name, arguments: json }) => [name, json]),
            usage: came.completion.usage,
            done: true,
            others: came.others,
            fault: undefined,
          },
          `seed ${seed}`,
        )
      }
    })
  }
}
