/** That a process still collects what it has thrown away: a flag that V8 does not know would end it or change nothing. */
import { execFileSync } from "node:child_process"
import { test } from "tap"
import { bundledOnce } from "../helpers/bundled.ts"

const THROWS_AWAY = `
let bytes = 0
for (let i = 0; i < 2_000_000; i++) bytes += [i, String(i)].length
console.log(bytes, process.memoryUsage().heapUsed < 64_000_000)
`

/** What three places make lives for several scavenges: V8 counts that, and guesses that it always will. */
const KEEPS = `
const kept = []
const make = (i) => [i, [i], { i }]
function round(from) { for (let i = 0; i < 1_000; i++) kept[from + i] = make(i) }
for (let r = 0; r < 3_000; r++) round((r % 200) * 1_000)
console.log(kept.length)
`

const script = (await bundledOnce("lib/cli/garbage.ts")).href

/** What Node prints of a program, which begins with our call or without. */
function run(flags: readonly string[], program: string, isOurs = true): string {
  const ours = `const { collectShortLived } = await import(process.argv[1])\ncollectShortLived()\n`
  const args = [...flags, "--input-type=module", "-e", isOurs ? ours + program : program, script]
  return execFileSync(process.execPath, args, { encoding: "utf8" })
}

test("the young generation is collected on the main thread, and is collected", async (t) => {
  const printed = run(["--trace-gc"], THROWS_AWAY)
  t.match(printed, /Scavenge/)
  t.match(printed, /^4000000 true$/m)
})

test("nothing new is taken for old because what was made in its place before lived long", async (t) => {
  // Compiled and collected on one thread, so that it is the same each time.
  const flags = ["--predictable", "--trace-pretenuring-statistics"]
  const places = (printed: string) => new Set(printed.match(/\bAllocationSite\(\w+\)/g)).size
  const before = places(run(flags, KEEPS, false))
  t.ok(before >= 3, "V8 counts by itself what lives")
  const printed = run(flags, KEEPS)
  // What loads the test may have a place that is counted before our call.
  t.ok(places(printed) <= before - 3, `${places(printed)} of ${before} places are counted`)
  t.match(printed, /^200000$/m)
})
