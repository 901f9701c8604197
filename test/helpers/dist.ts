/** The compiled program: built here when a source is newer than it, so that no test runs what is no longer so. */
import { spawnSync } from "node:child_process"
import { readdirSync, statSync } from "node:fs"
import { join, resolve } from "node:path"

const ROOT = resolve(import.meta.dirname, "../..")
const BIN = join(ROOT, "dist", "bin", "llmproxy.js")
/** What tsc remembers of a build: touched where nothing had to be written. */
const STATE = join(ROOT, "dist", "tsconfig.build.tsbuildinfo")

/** Builds dist/ if it is older than its sources. Returns the command's file. */
export function builtCommand(): string {
  const built = statSync(STATE, { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (["bin", "lib", "certs", "addons"].some((folder) => newest(join(ROOT, folder)) > built)) {
    const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc")
    // Types are judged by `npm test`; here it matters that what is there was compiled.
    const { status } = spawnSync(process.execPath, ["build.mjs"], { cwd: ROOT, stdio: ["ignore", 2, 2] })
    if (status !== 0) throw new Error("build.mjs failed")
    spawnSync(process.execPath, [tsc, "-b", "tsconfig.build.json"], { cwd: ROOT, stdio: ["ignore", 2, 2] })
  }
  return BIN
}

function newest(folder: string): number {
  const entries = readdirSync(folder, { withFileTypes: true })
  const times = entries.map((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? newest(path) : statSync(path).mtimeMs
  })
  return Math.max(0, ...times)
}
