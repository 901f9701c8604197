/** Files that are whole or not there, with exact permissions under any umask. */
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { makePrivateDirectory, makePrivateFile, writeOnce, writeWhole } from "../../certs/files.ts"

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

test("modes are exact under every umask", async (t) => {
  const before = process.umask()
  t.teardown(() => process.umask(before))
  for (const umask of [0o000, 0o022, 0o077, 0o177, 0o777]) {
    const folder = join(t.testdir(), umask.toString(8))
    process.umask(umask)
    t.equal(await makePrivateDirectory(folder), undefined)
    await writeOnce(join(folder, "key"), "secret")
    await writeWhole(join(folder, "public"), "open", 0o644)
    process.umask(before)
    t.equal(modeOf(folder), "700", `umask ${umask.toString(8)}`)
    t.equal(modeOf(join(folder, "key")), "600", `umask ${umask.toString(8)}`)
    t.equal(modeOf(join(folder, "public")), "644", `umask ${umask.toString(8)}`)
  }
})

test("a folder that exists keeps its mode; one that others may write in is warned of", async (t) => {
  const folder = t.testdir()
  chmodSync(folder, 0o755)
  t.equal(await makePrivateDirectory(folder), undefined)
  chmodSync(folder, 0o775)
  t.match(await makePrivateDirectory(folder), /other users may write in this folder .*chmod 700/)
  t.equal(modeOf(folder), "775")
})

test("a folder that cannot be made is one line that names it", async (t) => {
  const folder = t.testdir({ file: "" })
  const path = join(folder, "file", "confdir")
  await t.rejects(makePrivateDirectory(path), {
    name: "StartError",
    message: /^make the folder .*confdir: .*--confdir$/,
  })
})

test("a key that others could read is taken from them, and said", async (t) => {
  const folder = t.testdir({ key: "secret" })
  const key = join(folder, "key")
  chmodSync(key, 0o640)
  t.match(await makePrivateFile(key), /\(mode 0640\); it is 0600 now/)
  t.equal(modeOf(key), "600")
  t.equal(await makePrivateFile(key), undefined)
})

test("a linked key is another's to protect", async (t) => {
  const folder = t.testdir({ real: "secret" })
  chmodSync(join(folder, "real"), 0o644)
  symlinkSync(join(folder, "real"), join(folder, "key"))
  t.equal(await makePrivateFile(join(folder, "key")), undefined)
  t.equal(modeOf(join(folder, "real")), "644")
})

test("a key whose mode cannot be changed is warned of", async (t) => {
  const files = await t.mockImport<typeof import("../../certs/files.ts")>("../../certs/files.ts", {
    "node:fs/promises": t.createMock(await import("node:fs/promises"), {
      chmod: () => Promise.reject(new Error("EPERM: not the owner")),
    }),
  })
  const key = join(t.testdir({ key: "secret" }), "key")
  chmodSync(key, 0o644)
  t.match(await files.makePrivateFile(key), /mode 0644\), and it cannot be made 0600: EPERM: not the owner/)
})

test("of many writers one is first, and every reader sees the whole of its file", async (t) => {
  const folder = t.testdir()
  const path = join(folder, "once")
  const texts = Array.from({ length: 8 }, (_, index) => String(index).repeat(10_000))
  const won = await Promise.all(texts.map((text) => writeOnce(path, text)))
  t.equal(won.filter(Boolean).length, 1)
  t.equal(readFileSync(path, "utf8"), texts[won.indexOf(true)])
  t.same(readdirSync(folder), ["once"], "no temporary file is left")
})

test("where there are no hard links the file is still written once, 0600", async (t) => {
  const files = await t.mockImport<typeof import("../../certs/files.ts")>("../../certs/files.ts", {
    "node:fs/promises": t.createMock(await import("node:fs/promises"), {
      link: () => Promise.reject(Object.assign(new Error("no links here"), { code: "ENOTSUP" })),
    }),
  })
  const path = join(t.testdir(), "once")
  t.equal(await files.writeOnce(path, "first"), true)
  t.equal(await files.writeOnce(path, "second"), false)
  t.equal(readFileSync(path, "utf8"), "first")
  t.equal(modeOf(path), "600")
})

test("a file that cannot be written is one line that names it", async (t) => {
  const missing = join(t.testdir(), "missing", "file")
  await t.rejects(writeOnce(missing, "x"), {
    name: "StartError",
    message: /^write .*missing\/file: ENOENT.*--confdir$/,
  })
  await t.rejects(writeWhole(missing, "x", 0o644), { name: "StartError", message: /ENOENT/ })
})

test("a full disk leaves no half file behind", async (t) => {
  const real = await import("node:fs/promises")
  const files = await t.mockImport<typeof import("../../certs/files.ts")>("../../certs/files.ts", {
    "node:fs/promises": t.createMock(real, {
      open: async (...args: Parameters<typeof real.open>) => {
        const file = await real.open(...args)
        file.sync = () => Promise.reject(new Error("ENOSPC: no space left"))
        return file
      },
    }),
  })
  const folder = t.testdir()
  await t.rejects(files.writeOnce(join(folder, "key"), "x"), { name: "StartError", message: /ENOSPC/ })
  t.same(readdirSync(folder), [])
})

test("a file that holds the content already is left alone, another is replaced whole", async (t) => {
  const path = join(t.testdir({ file: "same" }), "file")
  const before = statSync(path)
  await writeWhole(path, "same", 0o644)
  t.equal(statSync(path).ino, before.ino)
  await writeWhole(path, Buffer.from("other"), 0o644)
  t.equal(readFileSync(path, "utf8"), "other")
})

test("a file that is written anew keeps the mode that somebody gave it, wider or narrower", async (t) => {
  const path = join(t.testdir(), "bundle")
  for (const mode of [0o600, 0o640, 0o664, 0o444]) {
    await writeWhole(path, `first ${mode}`, 0o644)
    chmodSync(path, mode)
    await writeWhole(path, `second ${mode}`, 0o644)
    t.equal(readFileSync(path, "utf8"), `second ${mode}`)
    t.equal(modeOf(path), mode.toString(8))
  }
})

test("a folder in the file's place is one line", async (t) => {
  const folder = t.testdir()
  mkdirSync(join(folder, "taken"))
  writeFileSync(join(folder, "taken", "x"), "")
  await t.rejects(writeWhole(join(folder, "taken"), "x", 0o644), { name: "StartError", message: /^write .*taken: / })
  t.same(readdirSync(folder), ["taken"])
})
