/** An observing addon of the benchmark: sees heads and ends, keeps nothing. */
import { defineAddon } from "llmproxy"

export default defineAddon({
  name: "observe-one",
  setup() {
    let requests = 0
    let responses = 0
    return {
      requestHeaders: () => void requests++,
      responseHeaders: () => void responses++,
      response: (flow) => {
        if (flow.response?.status === 0) responses = requests
      },
    }
  },
})
