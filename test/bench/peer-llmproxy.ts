/** llmproxy as a peer: the built program, driven without its command line so that only the proxy is measured. */
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { pathToFileURL } from "node:url"

const [confdir = "", caFile = "", ...rest] = process.argv.slice(2)
const set = rest.filter((one) => one.startsWith("--set=")).map((one) => one.slice(6))
const scripts = rest.filter((one) => !one.startsWith("--set="))
// Bundled as the program is, by `npm run bench`; another checkout may have each module by itself.
const LIB = ["dist/bench/lib", "dist/lib"].find((folder) => existsSync(resolve(folder, "app.js")))
if (LIB === undefined) throw new Error("npm run bench has not built this checkout")
const from = (file: string) => import(pathToFileURL(resolve(LIB, file)).href)
const { App } = await from("app.js")
const { collectShortLived } = await from("cli/garbage.js")
const { NO_SOURCES } = await from("options/sources.js")
const { makeLogger } = await from("base/log.js")

collectShortLived() // as the command does
const app = new App({
  sources: {
    ...NO_SOURCES,
    set,
    flags: { port: 0, upstreamCa: [caFile] },
  },
  scripts,
  places: { folders: [process.cwd()], shipped: resolve("addons") },
  confdir,
  log: makeLogger((line: string) => process.stderr.write(`${line}\n`), "warn"),
  watch: false,
})
const { port } = await app.start()
process.stdout.write(`${port}\n`)

// Asked by signal: how long the event loop stood still at most since it was asked last.
const delay = monitorEventLoopDelay({ resolution: 1 })
process.on("SIGUSR2", () => {
  process.stdout.write(`loop ${delay.max / 1e6} ms\n`)
  delay.reset()
  delay.enable() // From the first question on: what nobody asks costs nothing.
})
process.stdin.resume().on("end", () => process.exit(0))
