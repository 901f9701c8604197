/**
 * Test files of a folder that share a process, as `npm test` runs them: to start one and to load the program into it takes
 * longer than the tests of most files. `test:all` gives each file its own, so that none leans on what another has left
 * behind. A file that cannot be loaded fails by its name, and the others of its group run. Plain JavaScript, as run.mjs is.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"

const FILES_MAX = 12

/**
 * Writes a module for each group into `folder`, which is the groups' alone. Gives, by the path of that module, what the
 * group is called; both from `root`, with slashes.
 */
export function writeGroups(files, root, folder) {
  rmSync(folder, { recursive: true, force: true })
  const names = new Map()
  for (const [place, all] of byFolder(files)) {
    for (let from = 0; from < all.length; from += FILES_MAX) {
      const some = all.slice(from, from + FILES_MAX)
      const module = join(folder, place, `${from / FILES_MAX + 1}.test.mjs`)
      mkdirSync(dirname(module), { recursive: true })
      writeFileSync(module, groupOf(some.map((file) => [file, relative(dirname(module), join(root, file))])))
      names.set(
        slashed(relative(root, module)),
        some.length === 1 ? slashed(some[0]) : `${slashed(place)}, ${some.length} files`,
      )
    }
  }
  return names
}

/**
 * The text of a group's module. `files`: each with its path from there. They are loaded within a test, so that tests begin
 * when all are there, and that what a file throws is that file's.
 */
function groupOf(files) {
  const pairs = files.map((pair) => `  ${JSON.stringify(pair.map(slashed))},\n`)
  return `import { test } from "tap"

const files = [
${pairs.join("")}]

test("loading", async (t) => {
  for (const [file, path] of files) await import(path).catch((error) => t.test(file, () => Promise.reject(error)))
})
`
}

function byFolder(files) {
  const folders = new Map()
  for (const file of files) {
    const place = dirname(file)
    const some = folders.get(place)
    if (some === undefined) folders.set(place, [file])
    else some.push(file)
  }
  return folders
}

const slashed = (path) => path.replaceAll("\\", "/")
