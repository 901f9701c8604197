/** An observing addon of the benchmark: keeps heads and timings of the last 1,000 flows. */
import { defineAddon, type FlowTimings, type Headers } from "llmproxy"

interface Kept {
  readonly method: string
  readonly url: string
  readonly status: number
  readonly requestHeaders: Headers
  readonly responseHeaders: Headers | undefined
  readonly timings: FlowTimings
}

const KEPT_MAX = 1_000

export default defineAddon({
  name: "observe-keep",
  setup() {
    const kept: Kept[] = []
    let seen = 0
    return {
      requestHeaders: () => void seen++,
      responseHeaders: () => {},
      response({ request, response, timings }) {
        kept[seen % KEPT_MAX] = {
          method: request.method,
          url: request.url,
          status: response?.status ?? 0,
          requestHeaders: request.headers,
          responseHeaders: response?.headers,
          timings,
        }
      },
    }
  },
})
