/**
 * Programs that may be installed on this machine, for tests that run against the real ones where they are.
 */
import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"

/** The path of a program by its name; undefined where it is not installed. */
export function installed(name: string, path = process.env.PATH ?? ""): string | undefined {
  const places = path.split(delimiter).filter((folder) => folder !== "")
  return places.map((folder) => join(folder, name)).find(canRun)
}

function canRun(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
