/** What `-s addons/conductor.ts` alone brings: the re-query, and Pythagora's files where somebody has named some. */
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { openSqlite } from "../../../../lib/store/sqlite.ts"
import { localHost, type Rig, startRig } from "../../../helpers/conductor-rig.ts"
import { DONE, sseAnswer, textEvent } from "../../../helpers/hosts/proxy-host.ts"
import { asking, FORMS, saidIn } from "../../../helpers/requery-rig.ts"

const PLAN = '{"plan": [{"description": "Write it."}]}'

/** Says an empty plan first. */
function forgetful() {
  let asked = 0
  return localHost((_, socket) => {
    asked += 1
    socket.write(sseAnswer(textEvent(asked === 1 ? '{"plan": []}' : PLAN, "stop"), DONE))
  })
}

/** Whether the history file holds any flow. The conductor has it for what it learns of models. */
async function flowsKept({ confdir }: Rig): Promise<boolean> {
  const file = join(confdir, "history.db")
  if (!existsSync(file)) return false
  const { db, close } = openSqlite(file, { readOnly: true })
  const flows = await db.selectFrom("flows").selectAll().execute()
  close()
  return flows.length > 0
}

function loaded({ app }: Rig): string[] {
  return app.addons.chain.addons.map(({ name }) => name)
}

test("the conductor alone has an empty plan asked for again", async (t) => {
  const rig = await startRig(t, { local: forgetful(), set: { requery: true } })
  t.same(loaded(rig).slice(0, 2), ["conductor", "requery"])
  const { text, headers } = await rig.chat({ ...asking(FORMS.developmentPlan), stream: true })
  t.equal(saidIn(text), PLAN)
  t.match(headers.get("x-llmproxy-requery"), /guard=empty-plan/)
})

test("it does so without being told to, and not where it is told not to", async (t) => {
  t.ok(loaded(await startRig(t, { set: { requery: "" } })).includes("requery"), "nothing is set")
  const rig = await startRig(t, { local: forgetful(), set: { requery: false } })
  t.notOk(loaded(rig).includes("requery"))
  t.equal(saidIn((await rig.chat({ ...asking(FORMS.developmentPlan), stream: true })).text), '{"plan": []}')
})

test("with Pythagora's variables its files are written, by the conductor alone and beside the history once", async (t) => {
  for (const scripts of [["addons/conductor.ts"], ["addons/history.ts", "addons/conductor.ts"]]) {
    const folder = t.testdir({})
    const [json, log] = ["history.json", "output.log"].map((name) => join(folder, name))
    const rig = await startRig(t, {
      scripts,
      local: localHost((_, socket) => void socket.write(sseAnswer(textEvent("Hello.", "stop"), DONE))),
      envFile: { MIDDLE_MAN_JSON: json ?? "", OUTPUT_LOG: log ?? "" },
    })
    t.equal((await rig.chat({ stream: true })).headers.get("x-llmproxy-route"), "local")
    await rig.app.stop()
    const records: unknown = JSON.parse(await readFile(json ?? "", "utf8"))
    t.match(records, [{ instruction: "Say hello.", output: "Hello.", client: "Local LLM" }])
    t.equal(Array.isArray(records) && records.length, 1, scripts.join())
    t.equal((await readFile(log ?? "", "utf8")).match(/Extracted Response: Hello\./g)?.length, 1)
    t.equal(await flowsKept(rig), scripts.length === 2, "no history is kept that nobody asked for")
  }
})

test("--set conductor.pythagoraFiles=false leaves them unwritten", async (t) => {
  const json = join(t.testdir({}), "history.json")
  const rig = await startRig(t, {
    local: localHost((_, socket) => void socket.write(sseAnswer(textEvent("Hello.", "stop"), DONE))),
    envFile: { MIDDLE_MAN_JSON: json },
    set: { pythagoraFiles: false },
  })
  await rig.chat({ stream: true })
  await rig.app.stop()
  t.notOk(existsSync(json))
})
