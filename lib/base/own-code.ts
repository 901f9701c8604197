/**
 * Where llmproxy's own code lies: lib/ of the source, or that of dist/, where all of it but a few entries is in chunks. What a
 * program needs later is read from there later, when another version may have taken its place.
 */
import { fileURLToPath } from "node:url"

/** Absolute, with a separator at its end. */
export const OWN_FOLDER = fileURLToPath(new URL("../", import.meta.url))

const NOT_FOUND = /^Cannot find module '([^']+)'/

/** Of Node's message that a module is not found, what it means where that is one of ours: it was there at the start. */
export function replacedModule(message: string): string | undefined {
  const [, file] = NOT_FOUND.exec(message) ?? []
  if (file === undefined || !file.startsWith(OWN_FOLDER)) return undefined
  return `llmproxy was built or installed anew since this one started, and ${file} is gone; start it again`
}
