/**
 * Python's clients through `llmproxy run` and the conductor, unchanged, streaming and not: urllib, requests and
 * openai-python. The interpreter is LLMPROXY_TEST_PYTHON, or the first usual one that has the client.
 */
import { spawnSync } from "node:child_process"
import { test } from "tap"
import { checkChatClient, fixture, WAYS } from "../helpers/chat-clients.ts"

const { LLMPROXY_TEST_PYTHON: named } = process.env
const candidates = named === undefined ? ["python3", "/usr/bin/python3"] : [named]

const CLIENTS = [
  { name: "urllib", module: "urllib.request", file: "urllib_chat.py" },
  { name: "requests", module: "requests", file: "requests_chat.py" },
  { name: "openai-python", module: "openai", file: "openai_chat.py" },
]

for (const { name, module, file } of CLIENTS) {
  const python = interpreterWith(module)
  const skip = python === undefined && `no ${candidates.join(" or ")} has Python's ${module}; set LLMPROXY_TEST_PYTHON`
  for (const way of WAYS)
    test(`${name} by ${way}, unchanged`, { skip }, async (t) => {
      // Without -B, Python would write its cache beside the fixtures.
      await checkChatClient(t, [python ?? "", "-B", fixture(file)], way)
    })
}

/** The interpreter itself, not a shim that needs the user's home. */
function interpreterWith(module: string): string | undefined {
  for (const command of candidates) {
    const { status, stdout } = spawnSync(command, ["-c", `import sys, ${module}; print(sys.executable)`], {
      encoding: "utf8",
    })
    if (status === 0) return stdout.trim()
  }
  return undefined
}
