/** The settings by which wget trusts the CA: the system's own, with our bundle. */
import { readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { writeWgetSettings } from "../../../lib/cli/run/wget-settings.ts"

test("the system's settings are kept, but for the roots, which are ours", async (t) => {
  const folder = t.testdir({ wgetrc: "# é\ntries = 3\nca_certificate = /old.pem\nCA-Certificate=/older.pem\n\n" })
  const file = await writeWgetSettings(folder, "/c d/bündle.pem", {}, join(folder, "wgetrc"))
  t.equal(readFileSync(file, "utf8"), "# é\ntries = 3\nca_certificate = /c d/bündle.pem\n")
  t.equal(statSync(file).mode & 0o777, 0o600, "a password may stand in it")
})

test("SYSTEM_WGETRC names other settings; those that are ours are not read again", async (t) => {
  const folder = t.testdir({ mine: "quiet = on\n", system: "tries = 3\n" })
  const write = (named: string) => writeWgetSettings(folder, "/b.pem", { SYSTEM_WGETRC: named }, join(folder, "system"))
  const ours = await write(join(folder, "mine"))
  t.equal(readFileSync(ours, "utf8"), "quiet = on\nca_certificate = /b.pem\n")
  await write(ours)
  t.equal(readFileSync(ours, "utf8"), "tries = 3\nca_certificate = /b.pem\n")
})

test("without any settings the roots are all there is", async (t) => {
  const folder = t.testdir()
  const file = await writeWgetSettings(folder, "/b.pem", {}, join(folder, "none"))
  t.equal(readFileSync(file, "utf8"), "ca_certificate = /b.pem\n")
})
