/** The addon of the benchmark's streaming row: every delta of every stream is decoded and counted. */
import { defineAddon } from "llmproxy"

export default defineAddon({
  name: "observe-deltas",
  setup({ log }) {
    let characters = 0
    return {
      llmDelta(_flow, delta) {
        if (delta.type === "text") characters += delta.text.length
      },
      done: () => log.debug(`${characters} characters`),
    }
  },
})
