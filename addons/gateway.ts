/**
 * One address for a team: `llmproxy -s gateway` is keys, models and all that goes with them. It has no hooks: it names the addons
 * that do the work, in the order in which they see a request, and each of them may be loaded alone as well. docs/gateway.md says
 * how it is used.
 */
import { defineAddon, UsageError } from "llmproxy"

/**
 * Who asks is known before anything else. `models` puts requests on their way, so that what changes them by its own choice stands
 * before it, and what goes by the upstream that it has chosen (what fits there) behind it. Then come those that only look on.
 */
const PARTS = [
  "keys",
  "sessions",
  "profiles",
  "models",
  "local-model",
  "fit",
  "usage",
  "history",
  "metrics",
  "health",
] as const

export default defineAddon({
  name: "gateway",
  options: {
    without: { type: "list", default: [], help: `What is left out, of ${PARTS.join(", ")}. Counts at the next start.` },
  },
  addons({ without }) {
    const names: readonly string[] = PARTS
    const unknown = without.find((name) => !names.includes(name))
    if (unknown !== undefined)
      throw new UsageError(`gateway.without: ${JSON.stringify(unknown)} is no part of it; it has ${PARTS.join(", ")}`)
    return PARTS.filter((name) => !without.includes(name)).map((name) => `./${name}.ts`)
  },
})
