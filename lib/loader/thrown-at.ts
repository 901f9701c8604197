/**
 * Where an addon's error was thrown, read from its stack: the line that its author can mend, which is none of ours and
 * none of a package's. Stacks are texts that V8 writes and anybody may have changed; what is no place is passed over.
 */
import { isAbsolute } from "node:path"
import { fileURLToPath } from "node:url"
import { FlowError } from "../base/errors.ts"
import { OWN_FOLDER } from "../base/own-code.ts"
import { shownPath } from "../base/shown-path.ts"

/** Characters of a stack that are read: it begins with the message, which may be anything. */
const STACK_CHARS_MAX = 16_384

const FRAME = /^\s+at (?:async )?/
const POSITION = /:\d+:\d+$/
const PACKAGES = /[\\/]node_modules[\\/]/

/**
 * `file:line:column` of the innermost frame of a stack that is a file of the user's. What one of our calls throws, the
 * line that called it is to answer for. `own`: the folder of our code.
 */
export function thrownAt(error: unknown, own = OWN_FOLDER): string | undefined {
  for (const line of stackOf(error)) {
    const place = placeIn(line)
    if (place !== undefined && !PACKAGES.test(place) && !place.startsWith(own)) return shownPath(place)
  }
  return undefined
}

/** None of a FlowError, which says what is wrong without; nor of what throws when it is looked at. */
export function stackOf(error: unknown): readonly string[] {
  try {
    if (!(error instanceof Error) || error instanceof FlowError) return []
    return (error.stack ?? "").slice(0, STACK_CHARS_MAX).split("\n")
  } catch {
    return []
  }
}

/** The place that a frame names, a path and no URL: ES modules have URLs, in which a space is `%20`. */
function placeIn(line: string): string | undefined {
  const [start] = FRAME.exec(line) ?? []
  if (start === undefined) return undefined
  const frame = line.slice(start.length)
  // `name (place)`, or the place alone, where nothing has a name. A path may have brackets, too.
  const place = frame.endsWith(")") ? frame.slice(frame.indexOf(" (") + 2, -1) : frame
  const [position] = POSITION.exec(place) ?? []
  if (position === undefined) return undefined
  const path = pathOf(place.slice(0, -position.length))
  return path === undefined ? undefined : path + position
}

/** Undefined for what is no file: Node's own modules, what was evaluated. */
function pathOf(file: string): string | undefined {
  try {
    const path = file.startsWith("file:") ? fileURLToPath(file) : file
    return isAbsolute(path) ? path : undefined
  } catch {
    return undefined
  }
}
