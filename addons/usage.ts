/**
 * Asks hosts for what an answer cost where the client did not: a stream tells its tokens only when `stream_options` says
 * so. The chunk that brings them stays here, the client gets the bytes it would have got, and whoever looks at the
 * answer when the flow has ended (the terminal, the history) sees the host's own numbers in place of counted ones.
 * Off unless `usage.inject` is set, and only for hosts that are known to take the field.
 */
import { defineAddon, type Flow, type LlmFlow, type Usage } from "llmproxy"

export default defineAddon({
  name: "usage",
  options: {
    inject: { type: "boolean", default: false, help: "Ask for the usage of streams whose client does not." },
    hosts: {
      type: "list",
      default: ["api.openai.com", "us.api.openai.com", "eu.api.openai.com", "api.deepseek.com", "openrouter.ai"],
      help: "Hosts that take stream_options.include_usage.",
    },
  },
  setup({ options }) {
    /** What was asked for here; what the host said, once it did. */
    const asked = new WeakMap<Flow, Usage | undefined>()
    return {
      llmRequest(flow) {
        if (!options.inject || !wantsNone(flow) || !options.hosts.includes(hostOf(flow))) return
        const { body } = flow.llm.request
        const given = typeof body.stream_options === "object" ? body.stream_options : undefined
        body.stream_options = { ...given, include_usage: true }
        asked.set(flow, undefined)
      },
      responseHeaders(flow) {
        if (!asked.has(flow)) return
        flow.response?.transformDeltas((delta) => {
          if (delta.type !== "usage") return delta
          asked.set(flow, delta.usage)
          return undefined
        })
      },
      llmResponse(flow, completion) {
        const usage = asked.get(flow)
        if (usage !== undefined) Object.assign(completion.usage, usage)
      },
    }
  },
})

/** A client's own stream of chat chunks, without usage. */
function wantsNone({ parent, llm }: LlmFlow): boolean {
  if (parent !== undefined || llm.dialect !== "openai-chat" || !llm.request.stream) return false
  const { stream_options: given } = llm.request.body
  return !(typeof given === "object" && given !== null && "include_usage" in given && given.include_usage === true)
}

function hostOf({ routed, request }: Flow): string {
  return routed?.url === undefined ? request.host : new URL(routed.url).hostname
}
