/** Groups of test files: each file is in one of them, once, and is found and run from where the group's module is. */
import { spawnSync } from "node:child_process"
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
    return [...text.matchAll(/^ {2}\[".*","(.*)"\],$/gm)].map(([, path = ""]) =>
      resolve(dirname(join(root, module)), path),
    )
  })
  t.same(
    found,
    files.map((file) => join(root, file)),
  )
})

test("a file that cannot be loaded fails by its name, and the others run", async (t) => {
  const passing = (name: string) => `import { test } from "tap"\ntest("${name}", async (t) => t.pass("${name} ran"))\n`
  const names = ["a", "b", "c", "d"].map((name) => `test/${name}.test.mjs`)
  const root = t.testdir({
    test: {
      "a.test.mjs": passing("first"),
      "b.test.mjs": "throw new Error('broken')",
      "c.test.mjs": 'import { nothing } from "node:fs"\nnothing()\n',
      "d.test.mjs": passing("last"),
    },
  })
  const [module = ""] = writeGroups(names, root, join(root, "groups")).keys()
  const { stdout, status } = spawnSync(process.execPath, [join(root, module)], { encoding: "utf8" })
  t.equal(status, 1)
  const results = [...stdout.matchAll(/^ *((?:not )?ok) \d+ - (.*?)(?: # .*)?$/gm)].map(
    ([, how, what]) => `${how} ${what}`,
  )
  t.match(results, [
    "not ok broken",
    "not ok test/b.test.mjs",
    /^not ok .*nothing/,
    "not ok test/c.test.mjs",
    "not ok loading",
    "ok first ran",
    "ok first",
    "ok last ran",
    "ok last",
  ])
})
