/** The documents: what they link to is there, their commands are read as they stand, the options that they name exist. */
import { existsSync, readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { test } from "tap"
import { SHIPPED_ADDONS } from "../addons/index.ts"
import { NO_STORE } from "../lib/api/store.ts"
import { App } from "../lib/app.ts"
import { makeLogger } from "../lib/base/log.ts"
import { readArguments } from "../lib/cli/arguments.ts"
import { COMMANDS } from "../lib/cli/commands.ts"
import { NO_SOURCES, parseSet } from "../lib/options/sources.ts"
import { commandsIn, PAGES } from "./helpers/documents.ts"

async function optionNames(): Promise<ReadonlySet<string>> {
  const confdir = await mkdtemp(join(tmpdir(), "llmproxy-docs-"))
  const places = { folders: [process.cwd()], shipped: "addons" }
  const log = makeLogger(() => {})
  const app = new App({ sources: NO_SOURCES, scripts: [], places, confdir, log, watch: false, store: NO_STORE })
  try {
    await app.addons.prepare([
      "addons/conductor.ts",
      "addons/history.ts",
      "addons/usage.ts",
      "addons/hello.ts",
      "addons/fit.ts",
      "addons/gateway.ts",
    ])
    return new Set(app.store.describe().map(({ name }) => name))
  } finally {
    await app.stop()
    await rm(confdir, { recursive: true, force: true })
  }
}

test("the commands of every page are read as they stand", async (t) => {
  const known = await optionNames()
  let count = 0
  for (const page of PAGES) {
    for (const { argv } of commandsIn(page)) {
      const [first = ""] = argv
      // Its flags are its addon's; docs-commands.test.ts runs it.
      if (SHIPPED_ADDONS.some((addon) => addon.name === first)) continue
      const load = Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : COMMANDS.start
      const command = await load?.()
      const flags = {
        ...command?.flags,
        version: { type: "switch", help: "" },
        help: { type: "switch", help: "" },
      } as const
      const line = readArguments(command?.name === "start" ? argv : argv.slice(1), flags)
      for (const set of line.list("set")) t.ok(known.has(parseSet(set).name), `${page}: --set ${set}`)
      count += 1
    }
  }
  t.ok(count > 25, `${count} commands`)
})

test("every link of a page to a file is to one that is there", async (t) => {
  for (const page of PAGES) {
    for (const [, target = ""] of readFileSync(page, "utf8").matchAll(/\]\(([^)#]+)[^)]*\)/g)) {
      if (/^https?:/.test(target)) continue
      t.ok(existsSync(join(dirname(page), target)), `${page}: ${target}`)
    }
  }
})

test("the options that the conductor's page lists are its own", async (t) => {
  const known = await optionNames()
  const table = /^\| option \|[\s\S]*?\n\n/m.exec(readFileSync("docs/conductor.md", "utf8"))?.[0] ?? ""
  const listed = table
    .split("\n")
    .slice(2)
    .flatMap((row) => [...(row.split("|")[1] ?? "").matchAll(/`(\w+)`/g)].map(([, name]) => name ?? ""))
  t.ok(listed.length > 15)
  for (const name of listed) t.ok(known.has(`conductor.${name}`), name)
})
