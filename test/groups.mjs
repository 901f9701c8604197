/**
 * Test files of a folder that share a process, as `npm test` runs them: to start one and to load the program into it takes
 * longer than the tests of most files. `test:all` gives each file its own, so that none leans on what another has left
 * behind. Plain JavaScript, as run.mjs is.
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
      const imports = some.map(
        (file) => `import ${JSON.stringify(slashed(relative(dirname(module), join(root, file))))}\n`,
      )
      writeFileSync(module, imports.join(""))
      names.set(
        slashed(relative(root, module)),
        some.length === 1 ? slashed(some[0]) : `${slashed(place)}, ${some.length} files`,
      )
    }
  }
  return names
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
