/** Python for tests of its clients: LLMPROXY_TEST_PYTHON, or the first usual interpreter that has the client. */
import { spawnSync } from "node:child_process"

const { LLMPROXY_TEST_PYTHON: named } = process.env
const candidates = named === undefined ? ["python3", "/usr/bin/python3"] : [named]

/** The interpreter itself, not a shim that needs the user's home. */
export function interpreterWith(module: string): string | undefined {
  for (const command of candidates) {
    const { status, stdout } = spawnSync(command, ["-c", `import sys, ${module}; print(sys.executable)`], {
      encoding: "utf8",
    })
    if (status === 0) return stdout.trim()
  }
  return undefined
}

export function noInterpreter(module: string): string {
  return `no ${candidates.join(" or ")} has Python's ${module}; set LLMPROXY_TEST_PYTHON`
}
