/** The test of an addon in docs/addons.md, as it stands there: node:test runs it, and vitest, on the built package. */
import { readFileSync } from "node:fs"
import { mkdir, symlink, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { type Test, test } from "tap"
import { furtherFile, notInstalled } from "../helpers/clients/further-clients.ts"
import { exitsWith, RunningCommand } from "../helpers/command-process.ts"
import { builtCommand } from "../helpers/dist.ts"

const NODE_TEST = 'from "node:test"'
const VITEST = 'from "vitest"'

/** An indented block of the page that begins with that line and has those words in it. */
function block(beginning: string, words: string): string {
  const blocks = readFileSync("docs/addons.md", "utf8").match(/(?:^ {4}.*\n|^\n(?= {4}))+/gm) ?? []
  const found = blocks.map((text) => text.replace(/^ {4}/gm, "").trim()).filter((text) => text.startsWith(beginning))
  const [only, ...others] = found.filter((text) => text.includes(words))
  if (only === undefined || others.length > 0) throw new Error(`docs/addons.md: not one block with ${words}`)
  return only
}

/** A folder as a user has it: the package installed, the addon, and its test. */
async function project(t: Test, change: (text: string) => string): Promise<string> {
  builtCommand()
  const folder = t.testdir()
  await mkdir(join(folder, "node_modules"))
  await symlink(process.cwd(), join(folder, "node_modules", "llmproxy"))
  await writeFile(join(folder, "package.json"), '{ "type": "module" }')
  await writeFile(join(folder, "limit.ts"), block("import { defineAddon", 'name: "limit"'))
  await writeFile(join(folder, "limit.test.mjs"), change(block("import assert", "loadAddon")))
  return folder
}

test("node:test runs it, and it fails where the addon is wrong", async (t) => {
  const folder = await project(t, (text) => text)
  const command = [process.execPath, "--test", "limit.test.mjs"]
  const outcome = await new RunningCommand(t, command, { folder }).outcome
  exitsWith(t, 0, outcome)
  t.match(outcome.stdout, /# pass 1|ℹ pass 1/)
  const right = readFileSync(join(folder, "limit.ts"), "utf8")
  await writeFile(join(folder, "limit.ts"), right.replace("count > options.requests", "count > 100"))
  exitsWith(t, 1, await new RunningCommand(t, command, { folder }).outcome)
})

const vitest = furtherFile("vitest/vitest.mjs")
const skip = vitest === undefined && notInstalled("vitest")

test("vitest runs it", { skip }, async (t) => {
  const folder = await project(t, (text) => text.replace(NODE_TEST, VITEST))
  const file = vitest ?? ""
  await symlink(dirname(file), join(folder, "node_modules", "vitest"))
  // Its own limit is a matter of the machine.
  const command = [process.execPath, file, "run", "--testTimeout=600000", "limit.test.mjs"]
  const outcome = await new RunningCommand(t, command, { folder, env: { CI: "1", NO_COLOR: "1" } }).outcome
  exitsWith(t, 0, outcome)
  t.match(outcome.stdout, /Tests +1 passed/)
})
