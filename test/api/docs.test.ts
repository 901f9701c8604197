/** The addons in docs/addons.md, as they stand there: their types hold, and the running program loads and calls them. */
import { readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { test } from "tap"
import ts from "typescript"
import { makeLogger } from "../../lib/base/log.ts"
import { StateClient } from "../../lib/store/state/client.ts"
import { bundled } from "../helpers/bundled.ts"
import { askHttp1 } from "./serve-rig.ts"
import { folderWith, started } from "./started.ts"

/** The indented blocks that are whole addons, by their name. */
function addonsIn(page: string): Map<string, string> {
  const blocks = readFileSync(page, "utf8").match(/(?:^ {4}.*\n|^\n(?= {4}))+/gm) ?? []
  const addons = blocks.map((block) => block.replace(/^ {4}/gm, "")).filter((text) => text.includes("defineAddon({"))
  return new Map(addons.map((text) => [/defineAddon\(\{\s+name: "([\w-]+)"/.exec(text)?.[1] ?? "", text]))
}

const addons = addonsIn("docs/addons.md")

test("their types hold", (t) => {
  const folder = resolve("test/api")
  const files = new Map([...addons].map(([name, text]) => [join(folder, `docs-${name}.ts`), text]))
  const { config } = ts.readConfigFile("tsconfig.json", ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, resolve("."))
  const host = ts.createCompilerHost({ ...options, noEmit: true })
  const { getSourceFile, fileExists, readFile } = host
  host.fileExists = (file) => files.has(file) || fileExists(file)
  host.readFile = (file) => files.get(file) ?? readFile(file)
  host.getSourceFile = (file, ...rest) => {
    const text = files.get(file)
    return text === undefined ? getSourceFile(file, ...rest) : ts.createSourceFile(file, text, ts.ScriptTarget.Latest)
  }
  const program = ts.createProgram([...files.keys()], { ...options, noEmit: true }, host)
  const told = ts.getPreEmitDiagnostics(program).filter(({ file }) => file === undefined || files.has(file.fileName))
  t.strictSame(
    told.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n")),
    [],
  )
  t.ok(addons.size >= 4)
  t.end()
})

test("the running program loads and calls them", async (t) => {
  const folder = await folderWith(t, {})
  for (const [name, text] of addons) await writeFile(join(folder, `${name}.ts`), text)
  const { app, port, get, lines } = await started(t, folder, "asked.ts", "polls.ts", "budget.ts", "votes.ts", "page.ts")
  const answer = await get("/v1/chat/completions", { model: "m", messages: [{ role: "user", content: "hi" }] })
  t.match(JSON.stringify(answer), "the budget is spent")
  t.match(lines, [/^info budget: spent: \{"client":/])
  t.match(app.metrics.snapshot(), [{ name: "budget_refused_total", series: [{ labels: { model: "m" }, value: 1 }] }])
  t.equal((await askHttp1(port, { path: "/asked" })).text, "[]", "what another addon keeps is not its own")
  await app.stop()
  const file = join(folder, "conf", "state.db")
  const options = { file, history: join(folder, "conf", "history.db"), log: makeLogger(() => {}) }
  const client = new StateClient({ ...options, script: await bundled(t, "lib/store/thread-link.ts") })
  t.teardown(() => client.close())
  t.match(await client.records("asked", "asked").entries(), [[String, 1]])
})
