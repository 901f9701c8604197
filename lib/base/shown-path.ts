/**
 * Paths in messages.
 */
import { isAbsolute, relative } from "node:path"

/** A path as people see it in messages: from the current folder when it lies there. */
export function shownPath(file: string): string {
  const path = relative(process.cwd(), file)
  return path.startsWith("..") || isAbsolute(path) ? file : path
}
