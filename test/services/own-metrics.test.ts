import { test } from "tap"
import { ownMetrics } from "../../lib/services/own-metrics.ts"

test("the program's numbers are gauges, nothing where nothing is served yet", (t) => {
  const values = (numbers: Parameters<typeof ownMetrics>[0]) =>
    ownMetrics(numbers).map(({ series }) => series[0]?.value)
  t.strictSame(values(undefined), [0, 0, 0])
  t.strictSame(values({ clients: 1, upstreams: 2, waiting: 3 }), [1, 2, 3])
  for (const { name, kind } of ownMetrics(undefined)) t.match([name, kind], [/^llmproxy_/, "gauge"])
  t.end()
})
