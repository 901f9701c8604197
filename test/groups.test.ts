/** Groups of test files: each file is in one of them, once, and is found from where the group's module is. */
import { readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { test } from "tap"

const { writeGroups }: { writeGroups(files: string[], root: string, folder: string): Map<string, string> } =
  await import(new URL("./groups.mjs", import.meta.url).href)

test("each file is in one group, with others of its folder", async (t) => {
  const root = t.testdir({ groups: { old: {} } })
  const many = Array.from({ length: 25 }, (_, at) => `test/many/${at}.test.ts`)
  const files = ["test/one.test.ts", ...many]
  const groups = writeGroups(files, root, join(root, "groups"))
  t.same(
    [...groups.values()],
    ["test/one.test.ts", "test/many, 12 files", "test/many, 12 files", "test/many/24.test.ts"],
    "one file alone has its own name",
  )
  const found = [...groups.keys()].flatMap((module) => {
    const text = readFileSync(join(root, module), "utf8")
    return [...text.matchAll(/^import "(.*)"$/gm)].map(([, path = ""]) => resolve(dirname(join(root, module)), path))
  })
  t.same(
    found,
    files.map((file) => join(root, file)),
  )
})
