/**
 * What models, hosts and clients say may be anything, and long: no text function of the program takes more than linear
 * time of it. The functions are found from what lib and addons export; each gets every adversarial text. Too much is
 * what takes over 8 times the CPU time of a quarter of the text, twice in a row (linear is 4 and 4, quadratic 16 and 16).
 */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { test } from "tap"
import type { Growth } from "../helpers/text-growth.ts"

/** One thread collects garbage, so that its time is the same each time; and seldom: 64 MB of new objects at once. */
const FLAGS = ["--single-threaded-gc", "--expose-gc", "--min-semi-space-size=64", "--max-semi-space-size=64"]

/** Functions that take a text and are no pure ones, or no business of what others say. */
const EXCLUDED: Readonly<Record<string, string>> = {
  "lib/base/did-you-mean.ts nearest": "compares names that the user typed, each with each",
  "lib/base/did-you-mean.ts didYouMean": "compares names that the user typed, each with each",
  "lib/base/did-you-mean.ts editDistance": "compares names that the user typed, each with each",
  "lib/cli/terminal/live-text.ts shownText (argument 1)": "the indent is ours, a few spaces",
  "lib/cli/terminal/live-text.ts shownText (argument each)": "the indent is ours, a few spaces",
  "lib/cli/history/by.ts dimensionsOf": "compares names that the user typed, each with each",
  "lib/cli/package.ts ownModule": "looks for a file",
  "lib/services/llama-package.ts findLlama": "looks for a package",
  "lib/cli/package.ts shippedAddon": "looks for files",
  "lib/cli/terminal/output.ts fileOutput": "writes to a file",
  "lib/base/folders.ts makeFolder": "makes folders",
  "lib/loader/built-from.ts checkFile": "reads a file",
  "lib/loader/find.ts compiledOf": "looks for files",
  "lib/loader/find.ts findAddon": "looks for files",
  "lib/loader/find.ts findNested": "looks for files",
  "lib/loader/find.ts findShipped": "looks for files",
  "lib/base/output-place.ts openForAppending": "opens a file",
  "lib/proxy/tls/trust-store.ts TrustStore.context": "reads certificates",
  "lib/options/sources.ts readEnvFile": "reads a file",
  "lib/proxy/tls/client-certificates.ts readClientCertificates": "reads files",
  "lib/store/sqlite.ts fileIdOf": "looks for a file",
  "lib/store/sqlite.ts openSqlite": "opens a file",
  "lib/store/sqlite.ts setAside": "renames files",
}

/** Pure functions of files that also read or write something. */
const PURE = [
  "lib/cli/package.ts addonPlaces",
  "lib/options/core.ts baseUrlOf",
  "lib/options/core.ts databaseUrl",
  "lib/base/shown-path.ts shownPath",
  "lib/options/sources.ts environmentNames",
  "lib/options/sources.ts parseSet",
  "lib/proxy/access/password-hash.ts excessiveCost",
  "lib/proxy/access/password-hash.ts isKnownHash",
  "lib/proxy/tls/pem.ts explainPem",
  "addons/local-model/names.ts modelNamed",
  "lib/services/llama-package.ts llamaInstall",
  "lib/store/sqlite.ts isNewEnough",
  "lib/store/state/schema.ts columnsFor",
]

test("no text function takes more than linear time of any text", async (t) => {
  const script = join(import.meta.dirname, "..", "helpers", "text-growth.ts")
  const lists = [Object.keys(EXCLUDED), PURE].map((names) => JSON.stringify(names))
  const args = [...process.execArgv, ...FLAGS, script, ...lists]
  // Not counted: where V8 counts what runs, everything takes several times as long.
  const { NODE_V8_COVERAGE: _, ...env } = process.env
  const { stdout } = await promisify(execFile)(process.execPath, args, { env })
  const { functions, texts, faults }: Growth = JSON.parse(stdout)
  t.strictSame(faults, [])
  t.ok(functions.length > 100, "the functions are found")
  for (const name of [...Object.keys(EXCLUDED), ...PURE])
    t.ok(
      functions.some((one) => name.startsWith(one)),
      `${name} is there`,
    )
  t.comment(
    `${functions.length - Object.keys(EXCLUDED).length} text functions, ${texts} texts each: no text takes over 8 times as long as a quarter of it, twice in a row, up to 1 MB`,
  )
  for (const [name, reason] of Object.entries(EXCLUDED)) t.comment(`left out: ${name}: ${reason}`)
})
