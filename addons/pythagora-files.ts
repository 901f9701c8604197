/**
 * Writes the files that Pythagora-LLM-Proxy wrote, where somebody has named them: answered requests for fine-tuning, and
 * what the local host and the cloud said. The conductor and the history bring it. It only looks on: nothing waits for
 * it, and secrets are blanked out. Whether there is anything to write is seen when it is loaded.
 */
import { countUsage, defineAddon, type FlowSnapshot, type LlmFlow, type TokenService } from "llmproxy"
import { LiveFiles } from "./pythagora-files/live-files.ts"
import { OPTIONS } from "./pythagora-files/options.ts"

/** Answers whose tokens are being counted. Further ones are written uncounted. */
const COUNTING_MAX = 256

export default defineAddon({
  name: "pythagora-files",
  options: OPTIONS,
  setup({ options, log, clock, redactor, tokens }) {
    const { json, outputLog, openaiOutputLog } = options
    if (!json && !outputLog && !openaiOutputLog) return undefined
    const files = new LiveFiles({ options, log, redactor, clock })
    const counting = new Set<Promise<void>>()
    return {
      llmResponse(flow) {
        if (flow.parent !== undefined) return
        const snapshot = flow.snapshot()
        if (isCounted(snapshot) || counting.size >= COUNTING_MAX) return files.write(snapshot)
        const writing = counted(flow, snapshot, tokens)
          .then((known) => files.write(known))
          .finally(() => counting.delete(writing))
        counting.add(writing)
      },
      async done() {
        await Promise.all(counting)
        await files.finish()
      },
    }
  },
})

function isCounted({ llm }: FlowSnapshot): boolean {
  const usage = llm?.completion?.usage
  return usage === undefined || (usage.inputTokens !== undefined && usage.outputTokens !== undefined)
}

async function counted(flow: LlmFlow, snapshot: FlowSnapshot, tokens: TokenService): Promise<FlowSnapshot> {
  const { llm } = snapshot
  if (llm?.completion === undefined) return snapshot
  try {
    const usage = await countUsage(flow, tokens)
    return { ...snapshot, llm: { ...llm, completion: { ...llm.completion, usage } } }
  } catch {
    return snapshot // The counter is busy; the log then says "?".
  }
}
