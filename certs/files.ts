/**
 * Files of the confdir: whole or not there, with the permissions they should have whatever the umask,
 * or those that somebody gave them since.
 * A reader never sees half a file, and two processes that write at once leave one of the two contents.
 */
import { randomBytes } from "node:crypto"
import { constants } from "node:fs"
import { chmod, copyFile, link, lstat, open, readFile, rm, stat } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { messageOf, StartError, systemCodeOf } from "../lib/base/errors.ts"
import { makeFolder } from "../lib/base/folders.ts"
import { beginFile, outputPlace } from "../lib/base/output-place.ts"

const PRIVATE_DIRECTORY = 0o700
const PRIVATE_FILE = 0o600
const OTHERS_BITS = 0o077
const OTHERS_WRITE_BITS = 0o022

// What link() says where the file system has no hard links.
const NO_HARD_LINKS = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"])

/** Makes the folder, 0700, with its parents. One that exists is left as it is; returns a warning if others may write in it. */
export async function makePrivateDirectory(path: string): Promise<string | undefined> {
  try {
    makeFolder(path, PRIVATE_DIRECTORY)
    const { mode } = await stat(path)
    if (process.platform === "win32" || (mode & OTHERS_WRITE_BITS) === 0) return undefined
  } catch (error) {
    throw new StartError(`make the folder ${path}: ${messageOf(error)}; name another with --confdir`, { cause: error })
  }
  return `${path}: other users may write in this folder and so replace the CA; run chmod 700 on it`
}

/** Takes a key file from group and others. Returns a warning if they could have read it. */
export async function makePrivateFile(path: string): Promise<string | undefined> {
  const found = await lstat(path)
  if (process.platform === "win32" || found.isSymbolicLink() || (found.mode & OTHERS_BITS) === 0) return undefined
  const mode = (found.mode & 0o777).toString(8).padStart(4, "0")
  const before = `${path}: other users could use this key (mode ${mode})`
  try {
    await chmod(path, PRIVATE_FILE)
    return `${before}; it is 0600 now. If others have used this machine, remove it: a new one is made`
  } catch (error) {
    return `${before}, and it cannot be made 0600: ${messageOf(error)}`
  }
}

/** Writes a file that must not exist yet, 0600. False if another process was first. */
export async function writeOnce(path: string, content: string): Promise<boolean> {
  return written(path, async () => {
    const temporary = await writeTemporary(path, content, PRIVATE_FILE)
    try {
      await linkOrCopy(temporary, path)
      return true
    } catch (error) {
      if (systemCodeOf(error) === "EEXIST") return false
      throw error
    } finally {
      await rm(temporary, { force: true })
    }
  })
}

/**
 * Makes a file hold `content`, in one step. A file that holds it already is not touched; behind a link it is the file
 * that is replaced, not the link. `newMode`: of a file that was not there; another keeps what its owner gave it.
 */
export async function writeWhole(path: string, content: string | Uint8Array, newMode: number): Promise<void> {
  await written(path, async () => {
    const place = await outputPlace(path)
    if (place.kind === "stream") throw new Error("it is no regular file")
    const wanted = Buffer.from(content)
    // One that cannot be read, or has gone meanwhile, is replaced.
    const present = place.mode === undefined ? undefined : await readFile(place.path).catch(() => undefined)
    if (present?.equals(wanted)) return
    const file = await beginFile(place, newMode)
    try {
      await file.write(wanted)
    } catch (error) {
      await file.abandon()
      throw error
    }
    await file.end()
  })
}

async function writeTemporary(path: string, content: string, mode: number): Promise<string> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`)
  const file = await open(temporary, "wx", mode)
  try {
    await file.chmod(mode)
    await file.writeFile(content)
    await file.sync()
    return temporary
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if (!NO_HARD_LINKS.has(systemCodeOf(error) ?? "")) throw error
    await copyFile(from, to, constants.COPYFILE_EXCL)
    await chmod(to, PRIVATE_FILE)
  }
}

async function written<T>(path: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (error) {
    throw new StartError(
      `write ${path}: ${messageOf(error)}; make the folder writable or name another with --confdir`,
      {
        cause: error,
      },
    )
  }
}
