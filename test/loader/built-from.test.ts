/** Whether a file holds what was read: looked at without a wait, whatever has taken its place. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { checkFile, fingerprint } from "../../lib/loader/built-from.ts"
import { isAsRead } from "../../lib/loader/version.ts"
import { makeFifo } from "../helpers/fifo.ts"

test("a file is as it was read while it holds the same; a pipe is not opened", async (t) => {
  const folder = t.testdir({ "a.ts": "one", folder: {} })
  const file = join(folder, "a.ts")
  const hash = fingerprint(Buffer.from("one"))
  t.doesNotThrow(() => checkFile(file, hash))
  t.ok(isAsRead(new Map([[file, hash]])))
  const others: [string, RegExp][] = [
    [makeFifo(folder), /fifo is no file any more/],
    [join(folder, "folder"), /folder is no file any more/],
    [join(folder, "gone.ts"), /ENOENT/],
    [join(file, "below.ts"), /ENOTDIR/],
  ]
  for (const [other, why] of others) {
    t.throws(() => checkFile(other, hash), why)
    const files = [[file, hash] as const, [other, hash] as const]
    t.notOk(isAsRead(new Map(files)), other)
  }
  writeFileSync(file, "two")
  t.throws(() => checkFile(file, hash), /a\.ts has changed/)
  t.notOk(isAsRead(new Map([[file, hash]])))
})
