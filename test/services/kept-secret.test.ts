/** Secrets of the program's own: made once, for its owner alone. */
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Test, test } from "tap"
import { makeLogger } from "../../lib/base/log.ts"
import { keptSecret } from "../../lib/services/kept-secret.ts"

function place(t: Test): { file: string; lines: string[]; read: () => Promise<string> } {
  const file = join(t.testdir(), "admin-token")
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`))
  return { file, lines, read: () => keptSecret(file, log) }
}

test("a secret is made at the first start, for its owner alone, and is the same at each further one", async (t) => {
  const { file, lines, read } = place(t)
  const secret = await read()
  t.match(secret, /^[A-Za-z0-9_-]{43}$/, "256 bits")
  t.equal(readFileSync(file, "utf8"), `${secret}\n`)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(await read(), secret)
  t.strictSame(lines, [])
})

test("programs that begin at once get the same secret", async (t) => {
  const { read } = place(t)
  t.equal(new Set(await Promise.all(Array.from({ length: 8 }, read))).size, 1)
})

test("a secret that a person has put there is taken, from 32 characters on; others could read it no more", async (t) => {
  const { file, lines, read } = place(t)
  writeFileSync(file, `${"s".repeat(32)}\n`)
  chmodSync(file, 0o644)
  t.equal(await read(), "s".repeat(32))
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.match(lines.join("\n"), /admin-token/)
})

test("what could be guessed, or is no secret, stops the start and says what to do", async (t) => {
  const { file, read } = place(t)
  for (const text of ["", "\n", "s".repeat(31), "s".repeat(513), `${"s".repeat(40)} ${"s".repeat(40)}`]) {
    writeFileSync(file, text)
    await t.rejects(read(), {
      name: "StartError",
      message: `${file}: it holds no secret of 32 to 512 characters; remove it, and a new one is made`,
    })
    t.equal(readFileSync(file, "utf8"), text, "what somebody has put there stays")
  }
})

test("a place that cannot be read stops the start", async (t) => {
  const { file, read } = place(t)
  mkdirSync(file)
  await t.rejects(read(), { name: "StartError", message: /^read .*admin-token: EISDIR/ })
})
