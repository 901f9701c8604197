/** The compiled program: built here when a source is newer than it, so that no test runs what is no longer so. */
import { spawnSync } from "node:child_process"
import { readdirSync, statSync } from "node:fs"
import { join, resolve } from "node:path"

const ROOT = resolve(import.meta.dirname, "../..")
const BIN = join(ROOT, "dist", "bin", "llmproxy.js")
/** What tsc remembers of a build: touched where nothing had to be written, and at the end, behind build.mjs. */
const STATE = join(ROOT, "dist", "tsconfig.build.tsbuildinfo")

/** Builds dist/ if it is older than its sources. Returns the command's file. */
export function builtCommand(): string {
  const built = statSync(STATE, { throwIfNoEntry: false })?.mtimeMs ?? 0
  const sources = ["bin", "lib", "certs", "addons", "build.mjs", "tsconfig.build.json"]
  if (sources.some((source) => newest(join(ROOT, source)) > built)) {
    const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc")
    // Types are judged by `npm test`; here it matters that what is there was compiled.
    const { status } = spawnSync(process.execPath, ["build.mjs"], { cwd: ROOT, stdio: ["ignore", 2, 2] })
    if (status !== 0) throw new Error("build.mjs failed")
    spawnSync(process.execPath, [tsc, "-b", "tsconfig.build.json"], { cwd: ROOT, stdio: ["ignore", 2, 2] })
  }
  return BIN
}

function newest(path: string): number {
  const stats = statSync(path)
  if (!stats.isDirectory()) return stats.mtimeMs
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))))
}
