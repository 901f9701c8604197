/** Folders are made with their parents, exactly so, and where they cannot be, that is said at once. */
import { chmodSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { makeFolder } from "../../lib/base/folders.ts"

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

test("a folder is made with those above it, and has its mode whatever the umask", async (t) => {
  const before = process.umask(0o077)
  t.teardown(() => process.umask(before))
  const top = t.testdir()
  makeFolder(join(top, "a", "b", "c"), 0o755)
  t.equal(modeOf(join(top, "a", "b", "c")), "755")
  t.equal(modeOf(join(top, "a")), "700")
})

test("a folder that is there stays as it is, behind a link too", async (t) => {
  const top = t.testdir()
  mkdirSync(join(top, "a"))
  chmodSync(join(top, "a"), 0o711)
  symlinkSync(join(top, "a"), join(top, "link"))
  makeFolder(join(top, "a"), 0o700)
  makeFolder(join(top, "link"), 0o700)
  makeFolder("/", 0o700)
  t.equal(modeOf(join(top, "a")), "711")
})

test("a file in the way is named", async (t) => {
  const top = t.testdir()
  writeFileSync(join(top, "file"), "")
  t.throws(() => makeFolder(join(top, "file"), 0o700), { code: "EEXIST" })
  t.throws(() => makeFolder(join(top, "file", "below"), 0o700), { code: "ENOTDIR" })
})

const PROC = process.platform === "linux" ? {} : { skip: "only Linux has /proc" }

test("where no folder can be made that is said, and not tried for ever", PROC, async (t) => {
  t.throws(() => makeFolder("/proc/x", 0o700), { code: "ENOENT" })
  t.throws(() => makeFolder("/proc/x/y/z", 0o700), { code: "ENOENT" })
})
