/**
 * The conductor before a real local host, where its program is: llama.cpp's server, which LLMPROXY_TEST_LLAMA_SERVER names
 * or which is on the PATH, with a tiny model that the test writes, or the one in LLMPROXY_TEST_GGUF; Ollama with the model
 * that LLMPROXY_TEST_OLLAMA_MODEL names. Recorded and scripted hosts stand for all others (test/addons/conductor-*).
 */
import { spawn } from "node:child_process"
import { writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { dirname, join } from "node:path"
import tap, { type Test } from "tap"
import { startRig } from "../helpers/conductor-rig.ts"
import { eventsOf } from "../helpers/hosts/proxy-host.ts"
import { tinyLlama } from "../helpers/hosts/tiny-llama.ts"
import { installed } from "../helpers/installed.ts"

const {
  LLMPROXY_TEST_LLAMA_SERVER: llama = installed("llama-server"),
  LLMPROXY_TEST_GGUF: gguf,
  LLMPROXY_TEST_OLLAMA_MODEL: ollamaModel,
} = process.env
/** Tokens of llama.cpp's window. */
const WINDOW = 2_048

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === "object" && address !== null ? address.port : 0
}

/** Resolves when the page is there; the test's own time limit ends it. */
async function answers(url: string): Promise<void> {
  for (;;) {
    const isThere = await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    )
    if (isThere) return
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function start(t: Test, program: string, args: readonly string[], env: Record<string, string> = {}): void {
  const child = spawn(program, args, { stdio: "ignore", env: { ...process.env, ...env } })
  child.once("error", (error) => t.fail(`${program}: ${error.message}`))
  t.teardown(() => void child.kill("SIGKILL"))
}

/** A short chat, streamed and not, and a prompt that fits nowhere. Gives the reason of the route. */
async function checkChats(t: Test, localUrl: string, kind: string, set: Record<string, string>): Promise<string> {
  const rig = await startRig(t, { set: { localUrl, ...set } })
  let reason = ""
  for (const stream of [true, false]) {
    const { status, headers, text } = await rig.chat({ stream, max_tokens: 8 })
    t.equal(status, 200, `${kind}, stream ${stream}: ${text.slice(0, 300)}`)
    t.equal(headers.get("x-llmproxy-route"), "local")
    reason = headers.get("x-llmproxy-reason") ?? ""
    if (stream) t.ok(eventsOf(text).length > 0)
    else t.match(JSON.parse(text), { object: "chat.completion", usage: { completion_tokens: Number } })
  }
  const large = { messages: [{ role: "user", content: "word ".repeat(20_000) }] }
  const refused = await rig.chat(large, "x-llmproxy-route: local\r\n")
  t.equal(refused.status, 400)
  t.equal(JSON.parse(refused.text).error.code, "context_length_exceeded")
  return reason
}

tap.test("a program is found on the PATH, or is not", (t) => {
  const node = dirname(process.execPath)
  t.ok(installed("node", `/nowhere:${node}`))
  t.equal(installed("llmproxy-no-such-program", node), undefined)
  t.equal(installed("node", ""), undefined)
  t.end()
})

function tinyModel(t: Test): string {
  const file = join(t.testdir({}), "tiny.gguf")
  writeFileSync(file, tinyLlama())
  return file
}

if (llama === undefined) tap.comment("not installed: llama-server, on the PATH or in LLMPROXY_TEST_LLAMA_SERVER")
else
  tap.test("llama.cpp's own server: counted by it, streamed and not, and its overflow", async (t) => {
    const port = await freePort()
    const model = gguf ?? tinyModel(t)
    start(t, llama, ["-m", model, "--host", "127.0.0.1", "--port", String(port), "-c", String(WINDOW), "-np", "1"])
    const url = `http://127.0.0.1:${port}`
    await answers(`${url}/health`)
    for (const localApi of ["completions", "messages", "llamacpp"]) {
      const reason = await checkChats(t, url, "llama.cpp", { localApi })
      t.match(reason, `of ${WINDOW} tokens`, "its window is known")
      t.match(reason, "counted by llama.cpp", localApi)
    }
  })

const ollama = installed("ollama")
if (ollama === undefined || ollamaModel === undefined)
  tap.comment("not installed: ollama on the PATH and a model's name in LLMPROXY_TEST_OLLAMA_MODEL")
else
  tap.test("Ollama itself: raw prompts and messages, streamed and not, and its overflow", async (t) => {
    const port = await freePort()
    start(t, ollama, ["serve"], { OLLAMA_HOST: `127.0.0.1:${port}` })
    const url = `http://127.0.0.1:${port}`
    await answers(`${url}/api/version`)
    const named = { localModel: ollamaModel }
    await checkChats(t, url, "Ollama", named)
    await checkChats(t, url, "Ollama", { ...named, localApi: "ollama" })
  })
