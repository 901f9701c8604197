/** The built program runs models: its processes are of the same build, and end with it, however it ends. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { transformSync } from "esbuild"
import { test } from "tap"
import { startCommand } from "../../helpers/command-process.ts"
import { installScripted } from "../../helpers/hosts/scripted-llama.ts"
import { ask } from "./rig.ts"

test("a model of the current folder answers, and no process is left when llmproxy is killed", async (t) => {
  const folder = t.testdir({ models: { "tiny.gguf": "{}" } })
  const library = installScripted(join(folder, "library"))
  const source = readFileSync(new URL("../../helpers/hosts/scripted-llama.ts", import.meta.url), "utf8")
  const place = join(library, "node_modules", "node-llama-cpp")
  mkdirSync(place, { recursive: true })
  // The compiled program runs no TypeScript.
  writeFileSync(join(place, "index.js"), transformSync(source, { loader: "ts" }).code)
  const args = ["-s", "models", "-s", "local-model", "-p", "0", "--set", `local-model.library=${library}`]
  const command = startCommand(t, args, { folder })
  const [, url] = await command.printed(/listening on (http:\/\/\S+)/)
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(ask("tiny").json),
  })
  t.match(await response.json(), { choices: [{ message: { content: "Hello." } }] })
  const [, pid] = await command.printed(/is loaded: 4096 tokens of context, process (\d+)/)
  command.signal("SIGKILL")
  await command.outcome
  while (isAlive(Number(pid))) await new Promise((resolve) => setImmediate(resolve))
  t.pass("its channel ended, and so did it")
})

function isAlive(pid: number): boolean {
  try {
    // Of a process that has ended and that nobody has asked about, only the number is left.
    return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}
