/** That a process still collects what it has thrown away: a flag that V8 does not know would end it or change nothing. */
import { execFileSync } from "node:child_process"
import { test } from "tap"
import { bundled } from "../helpers/bundled.ts"

const PROGRAM = `
const { collectAlone } = await import(process.argv[1])
collectAlone()
let bytes = 0
for (let i = 0; i < 2_000_000; i++) bytes += [i, String(i)].length
console.log(bytes, process.memoryUsage().heapUsed < 64_000_000)
`

test("the young generation is collected on the main thread, and is collected", async (t) => {
  const script = await bundled(t, "lib/cli/garbage.ts")
  const args = ["--trace-gc", "--input-type=module", "-e", PROGRAM, script.href]
  const printed = execFileSync(process.execPath, args, { encoding: "utf8" })
  t.match(printed, /Scavenge/)
  t.match(printed, /^4000000 true$/m)
})
