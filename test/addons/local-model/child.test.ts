/** The process of a model itself, spoken to as the proxy does, and ended by what ends it. */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Test, test } from "tap"
import { OPTIONS } from "../../../addons/local-model/options.ts"
import { refusalReply, tooLong } from "../../../addons/local-model/refusal.ts"
import { installScripted } from "../../helpers/hosts/scripted-llama.ts"

const CHILD = fileURLToPath(new URL("../../../addons/local-model/child.ts", import.meta.url))

function started(t: Test): { child: ChildProcess; next(): Promise<unknown> } {
  const child = fork(CHILD, [], { stdio: ["ignore", "ignore", "inherit", "ipc"] })
  t.teardown(() => child.kill())
  const came: unknown[] = []
  let wake = () => {}
  child.on("message", (message) => {
    came.push(message)
    wake()
  })
  const next = async () => {
    while (came.length === 0)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    return came.shift()
  }
  return { child, next }
}

test("what cannot be loaded is told with its kind, and what is no message is nothing", async (t) => {
  const folder = t.testdir({})
  mkdirSync(join(folder, "models"))
  const file = join(folder, "models", "bad.gguf")
  writeFileSync(file, JSON.stringify({ broken: "no model" }))
  const { child, next } = started(t)
  child.send({ kind: "odd" })
  child.send({ kind: "stop", id: 7 })
  const load = { kind: "load", file, contextSize: 512, threads: 1 }
  child.send({ ...load, library: "file:///nowhere/of-nobody.mjs" })
  t.match(await next(), { kind: "failed", why: "library" })
  child.send({ ...load, library: libraryIn(installScripted(folder)) })
  let message = await next()
  while (JSON.stringify(message).includes("progress")) message = await next()
  t.match(message, { kind: "failed", why: "model", message: "no model" })
  child.kill("SIGINT")
  child.send({ kind: "stop", id: 8 })
  child.disconnect()
  const [status] = await once(child, "exit")
  t.equal(status, 0, "it ends with its channel, and not by Ctrl-C")
})

/** What the addon finds in the folder that was installed into. */
function libraryIn(folder: string): string {
  return new URL(`file://${folder}/node_modules/node-llama-cpp/index.js`).href
}

test("sizes of contexts are checked by the name that they are of", (t) => {
  const check = Object.values(OPTIONS).flatMap((spec) => ("check" in spec ? [spec.check] : []))[0]
  t.strictSame(check?.({ tiny: 512 }), [])
  t.match(check?.({ tiny: "512", other: 1.5 }), [{ path: ["tiny"] }, { path: ["other"] }])
  t.strictSame(check?.(5), [])
  t.end()
})

test("what is too long is said in OpenAI's sentence, with and without a completion", (t) => {
  t.match(tooLong(true, 512, 600), { param: "messages", message: /your messages resulted in 600 tokens/ })
  t.match(tooLong(false, 512, 500, 100), {
    param: "prompt",
    message: /you requested 600 tokens \(500 in the messages, 100/,
  })
  t.match(refusalReply({ status: 503, code: "c", message: "m", retryMs: 1 }), {
    headers: { "Retry-After": "1" },
    error: { type: "server_error" },
  })
  t.end()
})
