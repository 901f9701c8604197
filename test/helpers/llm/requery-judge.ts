/** What the re-query's guards have against an answer, as the addon asks them: of a whole one, and of one that streams. */
import { demandOf } from "../../../addons/requery/demand.ts"
import { chosenGuards, Said } from "../../../addons/requery/guards.ts"
import { Schemas } from "../../../addons/requery/json-schema.ts"
import { OPTIONS } from "../../../addons/requery/options.ts"
import { watch } from "../../../addons/requery/watch.ts"
import type { Completion } from "../../../lib/api/flow.ts"
import { completionFrom } from "../../../lib/llm/assemble.ts"
import { openaiChat } from "../../../lib/llm/openai/chat.ts"
import { pieces } from "../requery-rig.ts"

type Finish = "stop" | "length"

const schemas = new Schemas()
const guards = chosenGuards({ guards: OPTIONS.guards.default, mode: undefined, attempts: 3 })

export interface Faults {
  /** Of the answer when it is whole. */
  readonly whole: readonly string[]
  /** Of it as a stream: where it was ended, and what is told of what had come until then. */
  readonly streamed: readonly string[]
  /** Characters that had come when the stream was ended; undefined: it was not. */
  readonly endedAt: number | undefined
}

function completion(text: string, unified: Finish): Completion {
  const finish = { type: "finish", index: 0, reason: { unified, raw: unified } } as const
  return completionFrom([{ type: "text", index: 0, text }, finish], {})
}

/** Throws for a request that no guard looks at. */
export function faultsOf(text: string, body: object, finish: Finish = "stop"): Faults {
  const request = openaiChat.parseRequest({ model: "m", messages: [], ...body }, "/v1/chat/completions")
  const demand = request === undefined ? undefined : demandOf(request, "always")
  if (demand === undefined) throw new Error("the request is not looked at")
  const armed = guards.filter(({ guard }) => guard.armed(demand))
  const findings = (said: Said) => armed.flatMap(({ guard }) => guard.test(said) ?? [])
  const whole = findings(new Said(completion(text, finish), demand, schemas))
  const lists = armed.flatMap(({ guard: { name } }) => (name.startsWith("empty-") ? name.slice("empty-".length) : []))
  const watching = watch(lists, true)
  let endedAt: number | undefined
  let at = 0
  for (const piece of pieces(text)) {
    at += piece.length
    watching.transform({ type: "text", index: 0, text: piece }, () => {
      endedAt ??= at
    })
    if (endedAt !== undefined) break
  }
  const came = completion(text.slice(0, at), endedAt === undefined ? finish : "length")
  return { whole, streamed: findings(new Said(came, demand, schemas, watching)), endedAt }
}
