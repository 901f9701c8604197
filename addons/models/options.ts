/** The options of `models`. What the upstreams and routes may be is check.ts. */
import type { OptionSpecs } from "llmproxy"
import { checkRoutes, checkUpstreams } from "./check.ts"

export const OPTIONS = {
  upstreams: {
    type: "json",
    default: {},
    check: checkUpstreams,
    help:
      "Upstreams by name, first asked first: { box: { url, key: env NAME, dialect, local, concurrency, models, context } }. " +
      "OPENAI_API_KEY alone enables openai, ANTHROPIC_API_KEY claude.",
  },
  routes: {
    type: "items",
    default: [],
    check: checkRoutes,
    help: 'Which models go where, the first that fits: [{ model: "gpt-*", to: [openai] }, { model: fast, to: [{ upstream: box, model: qwen3-4b }] }].',
  },
  default: { type: "string", help: "The upstream for what nothing else tells where it belongs." },
  lint: {
    type: "boolean",
    default: false,
    help: "Note on the flow what of a request is not in OpenAI's published schema; nothing is rejected.",
  },
} as const satisfies OptionSpecs
