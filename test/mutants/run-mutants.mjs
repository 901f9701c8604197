/**
 * Runs tests against mutants of one file, in this process: starting one for each mutant takes ten times as long. Told on
 * stdin what to run; tells its parent, a message each, which mutant begins and which test has noticed it, if any did.
 */
import { register } from "node:module"
import { text } from "node:stream/consumers"
import { t as root } from "tap"
import { noted } from "./tap.mjs"

const { url, sources, tests, numbers } = JSON.parse(await text(process.stdin))
register("./hooks.mjs", import.meta.url, { data: { url, sources } })
root.setTimeout(0)
// Whoever asked has ended.
process.once("disconnect", () => process.kill(process.pid, "SIGKILL"))

const say = (message) => process.send?.(message)
for (const number of numbers) {
  say({ begins: number })
  const test = await noticed(number)
  await new Promise((done) => process.send?.({ number, test }, done))
}
process.exit(0)

/** The first test that fails, or what stands in its way. Undefined: none. */
async function noticed(number) {
  noted.length = 0
  try {
    for (const test of tests) await import(`${test}?mutant=${number}`)
  } catch (thrown) {
    return `loading: ${thrown}`
  }
  for (const [name, ...rest] of noted.splice(0)) {
    const result = await root.test(name, ...rest)
    if (result?.ok !== true) return name
  }
  return undefined
}
