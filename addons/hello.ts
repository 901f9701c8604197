/**
 * The smallest useful addon: says what each answer cost. Copy it, rename it, change it while the proxy runs:
 *
 *     llmproxy -s addons/hello.ts
 *
 * An addon is one object. `setup` runs once and returns hooks: functions that llmproxy calls when something happens.
 * docs/addons.md lists them all; your editor completes their names and arguments.
 */
import { defineAddon } from "llmproxy"

export default defineAddon({
  name: "hello", // also the prefix of its options: --set hello.greeting=Hi

  options: {
    greeting: { type: "string", default: "Hello", help: "How each line begins." },
  },

  setup({ options, log }) {
    let answers = 0 // what an addon remembers is a variable here

    return {
      /** An answer of a model is whole. `flow` is the request and what became of it, `completion` what the model said. */
      llmResponse(flow, completion) {
        if (flow.parent !== undefined) return // What another addon asked: its answer comes again as the client's.
        answers += 1
        // Usage is always there; its numbers are undefined where nobody has counted.
        const { inputTokens = "?", outputTokens = "?" } = completion.usage
        // The log goes to stderr, made safe for a terminal, with keys blanked out.
        log.info(
          `${options.greeting}! Answer ${answers} came from ${completion.model ?? flow.llm.request.model}: ` +
            `${inputTokens} tokens in, ${outputTokens} out`,
        )
      },
    }
  },
})
