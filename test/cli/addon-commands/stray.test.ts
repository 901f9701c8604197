/** What a command of an addon's throws beside its run is its failure, and shows no secret. */
import { randomBytes } from "node:crypto"
import { test } from "tap"
import { startCommand } from "../../helpers/command-process.ts"

const ADDON = `export default {
  name: "stray",
  options: { key: { type: "string", default: "", secret: true, help: "A key." } },
  setup({ command, options }) {
    const never = () => new Promise(() => {})
    const fail = () => { throw new Error("refused: " + options.key) }
    command({ name: "promise", help: "forget a promise", run() { Promise.resolve().then(fail); return never() } })
    command({ name: "timer", help: "throw in a timer", run() { setTimeout(fail); return never() } })
    return {}
  },
}`

test("a promise that nobody awaits and a timer that throws fail the command, in one line without secrets", async (t) => {
  const folder = t.testdir({ "stray.js": ADDON })
  const key = `sk-${randomBytes(24).toString("hex")}`
  for (const name of ["promise", "timer"]) {
    const running = startCommand(t, ["-s", "stray.js", name], { folder, env: { LLMPROXY_STRAY_KEY: key } })
    const { status, stdout, stderr } = await running.outcome
    t.same([status, stdout], [1, ""], name)
    t.match(stderr, new RegExp(`^llmproxy: ${name}: failed: Error: refused: \\S*\\*\\*\\*`), name)
    t.equal(stderr.trimEnd().split("\n").length, 1, name)
    t.notMatch(stderr, key, name)
  }
})
