/** Events and metrics through the running program: two addons' files, requests, a reload. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import type { App } from "../../lib/app.ts"
import { folderWith, started } from "./started.ts"

const TELLER = `
import { defineAddon } from "llmproxy"
export default defineAddon({
  setup({ events, metrics }) {
    const asked = metrics.counter({ name: "asked_total", help: "Requests.", labels: ["path"] })
    return {
      async requestHeaders(flow) {
        asked.add(1, { path: flow.request.path })
        await events.publish("teller.asked", { path: flow.request.path })
        await events.publish("teller.asked", "broken")
        flow.respond({ status: 200, text: "{}" })
      },
    }
  },
})`

const HEARER = `
import { defineAddon } from "llmproxy"
export default defineAddon({
  setup({ events, metrics, log }) {
    const heard = metrics.gauge({ name: "heard", help: "Events." })
    return {
      async load() {
        await events.subscribe("teller.asked", (value) => {
          if (value === "broken") throw new Error("VERSION cannot hear this")
          heard.add(1)
          log.info("VERSION heard " + value.path)
        })
      },
    }
  },
})`

test("an addon hears what another one tells, until its version ends; what both count is in one place", async (t) => {
  const versioned = (name: string) => HEARER.replaceAll("VERSION", name)
  const folder = await folderWith(t, { "teller.ts": TELLER, "hearer.ts": versioned("first") })
  const { app, get, lines } = await started(t, folder, "teller.ts", "hearer.ts")
  await get("/a")
  t.strictSame(lines, [
    "info hearer: first heard /a",
    'error hearer: event "teller.asked": its listener failed: first cannot hear this',
  ])
  await writeFile(join(folder, "hearer.ts"), versioned("second"))
  t.match(await app.addons.reload(), [{ outcome: "reloaded" }])
  lines.splice(0)
  await get("/b")
  t.strictSame(lines.slice(0, 1), ["info hearer: second heard /b"])
  t.notMatch(lines.join("\n"), "first")
  t.match(addons(app), [
    {
      name: "asked_total",
      kind: "counter",
      series: [
        { labels: { path: "/a" }, value: 1 },
        { labels: { path: "/b" }, value: 1 },
      ],
    },
    { name: "heard", kind: "gauge", series: [{ value: 2 }] },
  ])
  await app.stop()
  t.strictSame(addons(app), [], "the program's end is the addons'")
})

/** What addons have counted; the program's own numbers are always there. */
function addons({ metrics }: App) {
  return metrics.snapshot().filter(({ name }) => !/^llmproxy_(?:client|upstream)_/.test(name))
}
