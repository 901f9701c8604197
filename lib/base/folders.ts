/**
 * Makes folders. Not by Node's own `recursive`: where the system says ENOENT for a folder whose parent is there, as
 * /proc does, that goes round for ever, in a thread that no signal reaches.
 */
import { chmodSync, mkdirSync, statSync } from "node:fs"
import { dirname } from "node:path"
import { systemCodeOf } from "./errors.ts"

/**
 * Makes the folder and those above it. One that is made has exactly `mode`, those above it get it less the umask; one
 * that is there stays as it is. Throws what the system says: EEXIST or ENOTDIR where a file is in the way.
 */
export function makeFolder(path: string, mode: number): void {
  if (made(path, mode)) chmodSync(path, mode)
}

/** False: it was there. Each folder is tried twice at most. */
function made(path: string, mode: number): boolean {
  try {
    mkdirSync(path, { mode })
    return true
  } catch (thrown) {
    const code = systemCodeOf(thrown)
    if (code === "ENOENT" && dirname(path) !== path) {
      made(dirname(path), mode)
      mkdirSync(path, { mode })
      return true
    }
    // EEXIST; a drive's root says EPERM, a file system that cannot be written EROFS, of a folder that is there as well.
    if (isFolder(path)) return false
    throw thrown
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}
