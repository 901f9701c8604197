/** Options that change while the program runs: taken as a whole, or not at all. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Test, test } from "tap"
import { App } from "../lib/app.ts"
import { makeLogger } from "../lib/base/log.ts"
import { readConfigFile } from "../lib/options/config-file.ts"
import { NO_SOURCES } from "../lib/options/sources.ts"
import { startCommand } from "./helpers/command-process.ts"
import { answer, origin, request } from "./helpers/hosts/proxy-host.ts"
import { Wire } from "./helpers/wire/wire.ts"

/** Says what it is told, and will not have a limit of 13. */
const BUDGET = `
export default {
  name: "budget",
  options: { limit: { type: "integer", default: 1, help: "A limit." } },
  setup: ({ options, log }) => ({
    configure(changed) {
      log.info("hears " + [...changed].join() + " = " + options.limit)
      if (options.limit === 13) throw new Error("13 is no limit")
    },
    request: (flow) => flow.request.headers.set("X-Limit", String(options.limit)),
  }),
}
`
const OTHER = `
export default {
  name: "other",
  options: { x: { type: "integer", default: 0, help: "X." } },
  setup: ({ options, log }) => ({
    configure() { log.info("hears " + options.x) },
    request: (flow) => flow.request.headers.set("X-Other", "here"),
    done() { log.info("done") },
  }),
}
`

/** `gate`: each read of the file waits for it. */
async function start(t: Test, config: string, gate = () => Promise.resolve()) {
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-live-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, "config.yaml")
  const write = (text: string) => writeFile(file, text)
  await Promise.all([
    write(config),
    writeFile(join(folder, "budget.mjs"), BUDGET),
    writeFile(join(folder, "other.mjs"), OTHER),
  ])
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line.replace(file, "config.yaml")}`))
  const read = async () => {
    const config = await readConfigFile(file, true)
    await gate()
    return { ...NO_SOURCES, flags: { port: 0 }, config }
  }
  const app = new App({
    sources: await read(),
    live: { file, read },
    scripts: ["budget.mjs"],
    places: { folders: [folder], shipped: undefined },
    confdir: folder,
    log,
    watch: false,
  })
  t.teardown(() => app.stop())
  const { port } = await app.start()
  const up = await origin(t, (_, socket) => void socket.write(answer("hello")))
  /** What an upstream gets of a request now. */
  const seen = async () => {
    const wire = await Wire.connect(port)
    wire.write(request("GET", up.port, "/"))
    await wire.response()
    wire.end()
    return up.requests.at(-1)?.head ?? ""
  }
  const change = async (text: string) => {
    await write(text)
    lines.length = 0
    await app.reconfigure()
    return lines
  }
  return { app, change, seen, lines, write }
}

test("an addon's options are taken, told and used at once", async (t) => {
  const { change, seen } = await start(t, "budget: { limit: 2 }")
  t.match(await seen(), /X-Limit: 2/)
  t.same(await change("budget: { limit: 3 }"), [
    "info budget: hears budget.limit = 3",
    "info config.yaml: taken: budget.limit",
  ])
  t.match(await seen(), /X-Limit: 3/)
  t.same(await change("budget: { limit: 3 } # the same"), [], "what did not change is nothing to say")
})

const turn = () => new Promise((resolve) => setImmediate(resolve))

test("a change that comes while another is read counts last", async (t) => {
  const gates: (() => void)[] = []
  let isOpen = true
  const gate = () => (isOpen ? Promise.resolve() : new Promise<void>((resolve) => gates.push(resolve)))
  const { app, write, seen } = await start(t, "budget: { limit: 2 }", gate)
  isOpen = false
  await write("budget: { limit: 3 }")
  const first = app.reconfigure()
  while (gates.length === 0) await turn()
  await write("budget: { limit: 4 }")
  const second = app.reconfigure()
  // Were it read now, it would be taken now, and the first one behind it.
  for (let turns = 0; turns < 2_000 && gates.length === 1; turns++) await turn()
  isOpen = true
  if (gates.length > 1) {
    gates[1]?.()
    await second
  }
  gates[0]?.()
  await Promise.all([first, second])
  t.match(await seen(), /X-Limit: 4/)
})

test("what an addon will not have is taken by nobody, and told again as it was", async (t) => {
  const { change, seen, app } = await start(t, "bodyLimit: 1000\nscripts: [other.mjs]\nbudget: { limit: 2 }")
  const lines = await change("bodyLimit: 2000\nscripts: [other.mjs]\nother: { x: 5 }\nbudget: { limit: 13 }")
  t.same(lines, [
    "info other: hears 5",
    "info budget: hears bodyLimit,other.x,budget.limit = 13",
    "info other: hears 0",
    "info budget: hears bodyLimit,other.x,budget.limit = 2",
    lines.at(-1),
  ])
  const why = 'addon "budget": configure failed: 13 is no limit'
  t.match(lines.at(-1), `error config.yaml: not taken, all options stay as they were: ${why}`)
  t.equal(app.values.bodyLimit, 1000)
  t.match(await seen(), /X-Limit: 2/)
})

test("a value, a name or a line that is wrong changes nothing", async (t) => {
  const { change, seen, app } = await start(t, "budget: { limit: 2 }\nkeepAliveMs: 100")
  for (const [text, said] of [
    ["budget: { limit: many }\nkeepAliveMs: 5", "budget.limit must be an integer"],
    ["budget: { limit: 3, limmit: 4 }\nkeepAliveMs: 5", 'addon "budget" has no option named "limmit"'],
    ["budget: { limit: 3 }\nignoreHosts: ['(']", "--ignore-hosts ("],
    ["budget: { limit: 3 }\nbaseUpstream: nowhere", "--base-upstream nowhere"],
    ["budget: { limit: 3 }\nscripts: [missing.mjs]\nkeepAliveMs: 5", "missing.mjs"],
    ["budget: [", "config file"],
  ] as const) {
    const lines = await change(text)
    t.match(lines.at(-1), said)
    t.match(lines.at(-1), "not taken")
    t.equal(app.values.keepAliveMs, 100)
    t.match(await seen(), /X-Limit: 2/)
  }
  t.match(await change("budget: { limit: 4 }"), [/hears/, /taken: keepAliveMs, budget.limit/])
})

test("the program's own options count at once where they can, and what cannot is said", async (t) => {
  const { change, app } = await start(t, "")
  const lines = await change("bodyLimit: 5\nmemoryLimit: 6000000\nport: 1")
  t.match(lines.at(-1), "warn config.yaml: memoryLimit will count when the program starts again")
  t.equal(app.values.bodyLimit, 5)
})

test("scripts in the file load and unload addons", async (t) => {
  const { change, seen, app } = await start(t, "scripts: [other.mjs]")
  t.match(await seen(), /X-Other: here/)
  const names = () => app.addons.chain.addons.map(({ name }) => name)
  t.same(names(), ["other", "budget"])
  t.same(await change("budget: { limit: 7 }"), [
    "info other: hears 0",
    "info budget: hears scripts,budget.limit = 7",
    "info other: done",
    "info config.yaml: taken: scripts, budget.limit",
  ])
  t.same(names(), ["budget"])
  t.notMatch(await seen(), /X-Other/)
  t.match(await change("scripts: [other.mjs]\nother: { x: 9 }\nbudget: { limit: 7 }"), [
    /budget: hears/,
    "info other: hears 9",
  ])
  t.same(names(), ["other", "budget"])
  const lines = await change("scripts: [other.mjs]\nother: { x: 9, y: 1 }")
  t.match(lines.at(-1), /no option named "y"/)
  t.same(names(), ["other", "budget"])
})

test("the running program sees its config file change, and LLMPROXY_SCRIPTS loads addons", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-live-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await Promise.all([
    writeFile(join(folder, "config.yaml"), "port: 0\nbudget: { limit: 2 }"),
    writeFile(join(folder, "budget.mjs"), BUDGET),
  ])
  const command = startCommand(t, ["--confdir", "."], { folder, env: { LLMPROXY_SCRIPTS: "budget.mjs" } })
  await command.printed(/addons +budget/)
  await writeFile(join(folder, "config.yaml"), "port: 0\nbudget: { limit: 3 }")
  await command.printed(/budget: hears budget\.limit = 3/)
  await command.printed(/taken: budget\.limit/)
})
