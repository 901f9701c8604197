/**
 * A proxy with the re-query, and before it an addon that sends every chat to a scripted local host, as the conductor
 * does. The host gives its answers in order, the last one for ever; clients ask with a stream or without.
 */
import type { Test } from "tap"
import type { AddonDefinition } from "../../lib/api/addon.ts"
import type { Flow } from "../../lib/api/flow.ts"
import type { Clock } from "../../lib/base/clock.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
import type { OriginRequest } from "../../lib/testing/origin.ts"
import { flowWatcher, message, type Rig, startRig } from "./conductor-rig.ts"
import { chatEvent, chatJson, DONE, FINISH, jsonAnswer, sseAnswer } from "./hosts/proxy-host.ts"

export interface RequeryRig extends Rig {
  readonly flows: Flow[]
  /** The flow that the client asked for last. */
  asked(): Flow
  /** What the local host was asked, in order. */
  bodies(): Record<string, unknown>[]
  say(body: object, fields?: string): Promise<Saying>
}

interface Saying {
  readonly status: number
  readonly text: string
  /** What a client reads in it. */
  readonly said: string
  readonly route: string | undefined
  /** x-llmproxy-requery. */
  readonly requery: string | undefined
}

export interface RequeryRigOptions {
  readonly answers: readonly (string | Buffer)[]
  readonly cloud?: string
  readonly env?: Record<string, string>
  readonly clock?: Clock
  readonly flags?: Record<string, unknown>
  /** Addons before all others. */
  readonly builtin?: readonly AddonDefinition[]
  readonly scripts?: readonly string[]
}

/** An answer's bytes: a Buffer is one already. */
export function reply(answer: string | Buffer, { body }: OriginRequest): Buffer {
  if (typeof answer !== "string") return answer
  if (JSON.parse(body.toString()).stream !== true) return jsonAnswer(chatJson(answer))
  return sseAnswer(...pieces(answer).map((piece) => chatEvent(piece)), FINISH, DONE)
}

/** A text in pieces of a token's size. */
export function pieces(text: string): string[] {
  return text.match(/[\s\S]{1,7}/g) ?? []
}

export async function startRequery(t: Test, options: RequeryRigOptions): Promise<RequeryRig> {
  const { answers, cloud, env = {}, flags } = options
  // One that stands still unless the test turns it: a slow machine keeps no client waiting.
  const clock = options.clock ?? new ManualClock(Date.now())
  const watcher = flowWatcher()
  let url = ""
  const local = {
    name: "sends-local",
    async llmRequest(flow: Flow & { llm: NonNullable<Flow["llm"]> }) {
      if (flow.parent !== undefined) return
      const request = { headers: { Authorization: "Bearer local-key" }, json: { ...flow.llm.request.body, top_k: 40 } }
      flow.route({ name: "local", reason: "it fits" })
      flow.metadata["conductor.wish"] = flow.request.headers.get("x-llmproxy-route")
      flow.respond(await flow.send(request, { url }))
    },
  }
  let count = 0
  const rig = await startRig(t, {
    local: (request, socket) => void socket.write(reply(answers[Math.min(count++, answers.length - 1)] ?? "", request)),
    ...(cloud === undefined ? {} : { cloud: (request, socket) => void socket.write(reply(cloud, request)) }),
    builtin: [...(options.builtin ?? []), local, watcher.addon],
    scripts: options.scripts ?? ["addons/requery.ts"],
    env,
    clock,
    ...(flags === undefined ? {} : { flags }),
  })
  url = `http://127.0.0.1:${rig.local?.port}/v1/chat/completions`
  return {
    ...rig,
    flows: watcher.flows,
    asked() {
      const flow = watcher.flows.findLast(({ parent }) => parent === undefined)
      if (flow === undefined) throw new Error("no flow has ended")
      return flow
    },
    bodies: () => (rig.local?.requests ?? []).map(({ body }) => JSON.parse(body.toString())),
    async say(body, fields) {
      const { status, text, headers } = await rig.chat(body, fields)
      const requery = headers.get("x-llmproxy-requery")
      return { status, text, said: saidIn(text), route: headers.get("x-llmproxy-route"), requery }
    },
  }
}

/** What a client reads, of a stream or of JSON. */
export function saidIn(text: string): string {
  if (text.startsWith("{")) return JSON.parse(text).choices?.[0]?.message?.content ?? ""
  const events = text.split("\n\n").filter((event) => event.startsWith("data: {"))
  return events.map((event) => JSON.parse(event.slice(6)).choices?.[0]?.delta?.content ?? "").join("")
}

export { message }

/** The fields that every request of GPT Pilot's has. */
export const PILOT = {
  n: 1,
  temperature: 0.7,
  top_p: 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  stream: true,
} as const

/** The words by which GPT Pilot asks for JSON, around a form's properties. */
export function wantsJson(properties: object): { role: string; content: string } {
  const schema = JSON.stringify(properties, null, 4)
  const content =
    "**IMPORTANT**\nYou must respond with ONLY the JSON object, with NO additional text or explanation.\n\n" +
    `Here is the schema for the expected JSON object:\n\`\`\`json\n${schema}\n\`\`\`\n\n`
  return { role: "user", content }
}

const text = { type: "string" }
const list = (properties: object) => ({
  type: "array",
  items: { type: "object", properties, required: Object.keys(properties) },
})

/** Forms of GPT Pilot's, by what it calls them. */
export const FORMS = {
  developmentPlan: { plan: list({ description: text }) },
  updatePlan: {
    updated_current_task: { type: "object", properties: { description: text } },
    plan: list({ description: text }),
  },
  implementTask: { tasks: list({ type: { type: "string", enum: ["command", "save_file", "human_intervention"] } }) },
  missingData: { missing_data: list({ question: text }) },
  relevantFiles: { relevant_files: { type: "array", items: text } },
} as const

/** A request for JSON of one of these forms. */
export function asking(form: object, more: object = {}): object {
  return { messages: [{ role: "user", content: "Go on." }, wantsJson(form)], ...more }
}
