/**
 * A secret of the program's own, made at its first start and kept in a file of the confdir, 0600. Only its owner can read
 * it, and whoever can is its owner. Two programs that begin at once get the same one.
 */
import { randomBytes } from "node:crypto"
import { readFile } from "node:fs/promises"
import { makePrivateFile, writeOnce } from "../../certs/files.ts"
import { messageOf, StartError, systemCodeOf } from "../base/errors.ts"
import type { Logger } from "../base/log.ts"

/** Of 256 bits, so that nobody guesses it. */
const SECRET_BYTES = 32
/** What such a file holds: a person may have put a longer one there, and a shorter one could be guessed. */
const SECRET = /^[\x21-\x7e]{32,512}$/

/** Reads or makes it. Rejects with a StartError where it cannot be had, or is none. */
export async function keptSecret(file: string, log: Logger): Promise<string> {
  const kept = await read(file)
  if (kept === undefined) {
    const made = randomBytes(SECRET_BYTES).toString("base64url")
    if (await writeOnce(file, `${made}\n`)) return made
  }
  const secret = (kept ?? (await read(file)) ?? "").trim()
  if (!SECRET.test(secret))
    throw new StartError(`${file}: it holds no secret of 32 to 512 characters; remove it, and a new one is made`)
  const warning = await makePrivateFile(file)
  if (warning !== undefined) log.warn(warning)
  return secret
}

async function read(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "latin1")
  } catch (thrown) {
    if (systemCodeOf(thrown) === "ENOENT") return undefined
    throw new StartError(`read ${file}: ${messageOf(thrown)}`, { cause: thrown })
  }
}
