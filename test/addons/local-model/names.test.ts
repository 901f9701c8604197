/** Which files are models: none outside of the folder, whatever leads there. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { findModels, modelNamed } from "../../../addons/local-model/names.ts"

test("a folder's .gguf files are its models, links among them only where they stay inside", async (t) => {
  const root = t.testdir({
    models: { "a.gguf": "", "b.txt": "", sub: { "c.gguf": "" }, "d.gguf": {} },
    "secret.gguf": "",
  })
  const folder = join(root, "models")
  symlinkSync(join(root, "secret.gguf"), join(folder, "out.gguf"))
  symlinkSync(join(folder, "sub", "c.gguf"), join(folder, "in.gguf"))
  symlinkSync("nowhere", join(folder, "dead.gguf"))
  const models = findModels({ folder, file: undefined })
  t.same(
    models.map(({ names }) => names),
    [
      ["a.gguf", "a"],
      ["in.gguf", "in"],
    ],
  )
  t.equal(modelNamed(models, "in")?.file, join(folder, "sub", "c.gguf"))
  for (const name of ["../secret.gguf", "sub/c.gguf", "sub/c", "a.gguf\0", "", "..", "out"])
    t.equal(modelNamed(models, name), undefined, JSON.stringify(name))
  symlinkSync(folder, join(root, "linked"))
  t.equal(findModels({ folder: join(root, "linked"), file: undefined }).length, 2, "the folder itself may be a link")
  t.same(findModels({ folder: join(root, "none"), file: undefined }), [])
})

test("the option's file answers to llama and to its name, and comes before one of the folder", async (t) => {
  const root = t.testdir({ "tiny.gguf": "one", models: { "tiny.gguf": "other", "z.gguf": "" } })
  const [first, ...others] = findModels({ folder: join(root, "models"), file: join(root, "tiny.gguf") })
  t.match(first, {
    name: "tiny.gguf",
    names: ["tiny.gguf", "llama", "tiny"],
    file: join(root, "tiny.gguf"),
    isNamed: true,
  })
  t.same(
    others.map(({ name }) => name),
    ["z.gguf"],
  )
  t.same(findModels({ folder: join(root, "none"), file: join(root, "gone.gguf") }), [])
  mkdirSync(join(root, "many"))
  for (let at = 0; at < 101; at++) writeFileSync(join(root, "many", `${at}.gguf`), "")
  t.equal(findModels({ folder: join(root, "many"), file: undefined }).length, 100)
})
