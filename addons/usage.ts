/**
 * Asks hosts for what an answer cost where the client did not: a stream tells its tokens only when `stream_options` says
 * so. The chunk that brings them stays here, and so does the `usage: null` that asking puts into every other one: the
 * client gets the bytes it would have got, and whoever looks at the answer when the flow has ended (the terminal, the
 * history) sees the host's own numbers in place of counted ones.
 * Off unless `usage.inject` is set, and only for hosts that are known to take the field.
 */
import { defineAddon, type Flow, type JsonObject, type LlmFlow, numberOf, objectOf, type Usage } from "llmproxy"
import { events } from "./usage/events.ts"

/**
 * Whose chunks have `usage: null` unasked, as the first of a stream in DeepSeek's documents has ("Create Chat Completion").
 * The others put it there because they were asked for usage.
 */
const NULLS_UNASKED = /(?:^|\.)deepseek\.com$/

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
    /** What was asked for here. */
    const asked = new WeakSet<Flow>()
    return {
      llmRequest(flow) {
        if (!options.inject || !wantsNone(flow) || !options.hosts.includes(hostOf(flow))) return
        const { body } = flow.llm.request
        const given = typeof body.stream_options === "object" ? body.stream_options : undefined
        body.stream_options = { ...given, include_usage: true }
        asked.add(flow)
      },
      responseHeaders(flow) {
        if (!asked.has(flow)) return
        const nulls = !NULLS_UNASKED.test(hostOf(flow))
        flow.response?.transform(async function* (chunks: AsyncIterable<Buffer>) {
          let kept: Usage | undefined
          let passed = false
          try {
            for await (const event of events(chunks)) {
              const told = usageIn(event)
              if (told?.isAlone) kept = told.usage
              else yield Buffer.from(nulls ? withoutNull(event) : event, "latin1")
              passed ||= told?.isAlone === false
            }
          } finally {
            // Also of a stream that breaks off behind it. What the client gets is counted as it passes.
            if (kept !== undefined && !passed) flow.addUsage(kept)
          }
        })
      },
    }
  },
})

/** What a chunk tells: of usage alone, the one that was asked for. Usage beside a choice comes unasked, and stays. */
function usageIn(event: string): { usage: Usage; isAlone: boolean } | undefined {
  if (!event.includes('"usage"') || !/^(data:|\s*\{)/.test(event)) return undefined
  const json = parsed(Buffer.from(event.replace(/^data:/, ""), "latin1").toString("utf8"))
  const { usage, choices } = objectOf(json) ?? {}
  const counts = objectOf(usage)
  if (counts === undefined || !Array.isArray(choices)) return undefined
  return { isAlone: choices.length === 0, usage: usageOf(counts) }
}

function usageOf(counts: JsonObject): Usage {
  return {
    inputTokens: numberOf(counts.prompt_tokens),
    outputTokens: numberOf(counts.completion_tokens),
    totalTokens: numberOf(counts.total_tokens),
    cachedTokens: numberOf(objectOf(counts.prompt_tokens_details)?.cached_tokens ?? counts.prompt_cache_hit_tokens),
    reasoningTokens: numberOf(objectOf(counts.completion_tokens_details)?.reasoning_tokens),
    source: "provider",
  }
}

/** A quote inside a text is escaped, so this finds a member and never a part of what the model wrote. */
function withoutNull(event: string): string {
  return event.replace(/,[ ]?"usage":[ ]?null(?=[,}])/, "")
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // Not JSON: no chunk that brings usage.
  }
}

/** A client's own stream of chat chunks, without usage. */
function wantsNone({ parent, llm }: LlmFlow): boolean {
  if (parent !== undefined || llm.dialect !== "openai-chat" || !llm.request.stream) return false
  const { stream_options: given } = llm.request.body
  return !(typeof given === "object" && given !== null && "include_usage" in given && given.include_usage === true)
}

function hostOf({ routed, request }: Flow): string {
  return routed?.url === undefined ? request.host : new URL(routed.url).hostname
}
