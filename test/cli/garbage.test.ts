/** That a process still collects what it has thrown away: a flag that V8 does not know would end it or change nothing. */
import { execFileSync } from "node:child_process"
import { test } from "tap"
import { bundledOnce } from "../helpers/bundled.ts"

const THROWS_AWAY = `
let bytes = 0
for (let i = 0; i < 2_000_000; i++) bytes += [i, String(i)].length
console.log(bytes, process.memoryUsage().heapUsed < 64_000_000)
`

/** What one place makes lives for several scavenges: V8 guesses that it always will. */
const KEEPS = `
const kept = []
const make = (i) => ({ i, list: [i] })
for (let i = 0; i < 3_000_000; i++) kept[i % 200_000] = make(i)
console.log(kept.length)
`

const script = (await bundledOnce("lib/cli/garbage.ts")).href

/** What Node prints of a program, which begins with our call or without. */
function run(flag: string, program: string, isOurs = true): string {
  const ours = `const { collectShortLived } = await import(process.argv[1])\ncollectShortLived()\n`
  const args = [flag, "--input-type=module", "-e", isOurs ? ours + program : program, script]
  return execFileSync(process.execPath, args, { encoding: "utf8" })
}

test("the young generation is collected on the main thread, and is collected", async (t) => {
  const printed = run("--trace-gc", THROWS_AWAY)
  t.match(printed, /Scavenge/)
  t.match(printed, /^4000000 true$/m)
})

test("nothing new is taken for old because what was made in its place before lived long", async (t) => {
  const guesses = /=> tenure/
  t.match(run("--trace-pretenuring-statistics", KEEPS, false), guesses, "V8 guesses so by itself")
  const printed = run("--trace-pretenuring-statistics", KEEPS)
  t.notMatch(printed, guesses)
  t.match(printed, /^200000$/m)
})
