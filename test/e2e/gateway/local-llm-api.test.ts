/**
 * What Local-LLM-API's README tells a user to do, request for request, before the whole program: with its three files as they are, a
 * server of llama.cpp's kind, Node's fetch, and Python's requests where it is installed.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { type Test, test } from "tap"
import { makeKey } from "../../../addons/keys/secret.ts"
import { main } from "../../../lib/cli/main.ts"
import { interpreterWith, noInterpreter } from "../../helpers/clients/python.ts"
import { FakeWorld } from "../../helpers/world.ts"

const VICUNA = "vicuna-13b-v1.5.Q5_K_M.gguf"
/** As its README has it. */
const CONFIG = `{
    "SelectedModel": "Vicuna-13b",
    "Vicuna-13b": {
        "model": "${VICUNA}",
        "n_ctx": 4096,
        "temperature": 0.7,
        "max_tokens": 16000,
        "top_p": 0.8,
        "top_k": 40,
        "verbose": true,
        "repeat_penalty": 1.1,
        "template": "You are a chatbot. \\n\\n{chat_history} \\n\\nPROMPT: {input} \\n\\nBOT:"
        },
    "Other-profile": {
        "model": "other.gguf",
        "n_ctx": 2048,
        "template": "{chat_history}\\nQ: {input}\\nA:"
        }
    }`
const SESSIONS = {
  Active: 7,
  7: {
    name: "What is a llama? And where doe...",
    history: ["Human: What is a llama?", "AI: An animal {of} the Andes."],
  },
}

interface Step {
  readonly method: string
  readonly path: string
  /** "KEY" is the one that was made. */
  readonly key?: string
  readonly json?: object
}

type Got = readonly [status: number, body: unknown]
type Client = (base: string, steps: readonly Step[]) => Promise<Got[]>

interface Place {
  readonly base: string
  readonly master: string
  /** What the model was asked. */
  readonly asked: Record<string, unknown>[]
  readonly log: () => string
}

/** A server with two models, that says what it was asked. */
async function llama(t: Test) {
  const asked: Record<string, unknown>[] = []
  const server = createServer(async (request, response) => {
    response.setHeader("Content-Type", "application/json")
    const body = await text(request)
    if (request.url === "/v1/models") {
      const data = [VICUNA, "other.gguf"].map((id) => ({
        id,
        object: "model",
        meta: { n_ctx_train: 4096 },
        n_ctx: 4096,
      }))
      response.end(JSON.stringify({ object: "list", data }))
      return
    }
    const json: Record<string, unknown> = JSON.parse(body)
    asked.push({ ...json, path: request.url })
    const choices = [{ index: 0, text: ` Answer ${asked.length}.`, finish_reason: "stop", logprobs: null }]
    const usage = { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 }
    response.end(
      JSON.stringify({ id: "cmpl-1", object: "text_completion", created: 1, model: json.model, choices, usage }),
    )
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.teardown(() => server.close())
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` }
}

/** Imports the files and starts, as docs/local-llm-api.md says. */
async function startOn(t: Test, meanwhile: (place: Place) => Promise<void>): Promise<void> {
  const { asked, url } = await llama(t)
  const home = t.testdir()
  const master = makeKey()
  const data = join(home, "Local-LLM-API", "data")
  await mkdir(data, { recursive: true })
  await mkdir(join(home, ".llmproxy"))
  await writeFile(join(data, "api_keys.json"), JSON.stringify({ 0: master, 1: makeKey() }))
  await writeFile(join(data, "sessions.json"), JSON.stringify(SESSIONS))
  await writeFile(join(data, "config.json"), CONFIG)
  await writeFile(join(home, ".llmproxy", "config.yaml"), `models:\n  upstreams:\n    llama: ${url}\n`)
  const page = readFileSync("docs/local-llm-api.md", "utf8")
  const lines = [...page.matchAll(/^ {4}\$ llmproxy (.*)$/gm)].map(([, line = ""]) =>
    line.split(" ").map((word) => word.replace(/^~|\$HOME/, home).replace(/^5000$/, "0")),
  )
  t.equal(lines.length, 3)
  const [start = [], ...imports] = lines.reverse()
  for (const argv of imports) {
    const world = new FakeWorld({ home, cwd: home })
    t.equal(await main(argv, world), 0, world.err.text)
  }
  const world = new FakeWorld({ home, cwd: home })
  const ending = main([...start], world)
  const isUp = await Promise.race([world.err.until(/listening on \S+/).then(() => true), ending.then(() => false)])
  if (!isUp) throw new Error(world.err.text)
  const base = /listening on (\S+)/.exec(world.err.text)?.[1] ?? ""
  try {
    await meanwhile({ base, master, asked, log: () => world.err.text })
  } finally {
    world.signal("SIGTERM")
    await ending
  }
}

const byFetch: Client = async (base, steps) => {
  const got: Got[] = []
  let made = ""
  for (const { method, path, key, json } of steps) {
    const headers: Record<string, string> = {}
    if (key !== undefined) headers.Authorization = key === "KEY" ? made : key
    if (json !== undefined) headers["Content-Type"] = "application/json"
    const body = json === undefined ? {} : { body: JSON.stringify(json) }
    const response = await fetch(base + path, { method, headers, ...body })
    const answer: unknown = await response.json()
    if (typeof answer === "object" && answer !== null && "key" in answer) made = String(answer.key)
    got.push([response.status, answer])
  }
  return got
}

const SCRIPT = `
import json, sys, requests
steps, base, made, got = json.loads(sys.stdin.read()), sys.argv[1], "", []
for step in steps:
    key = step.get("key")
    headers = {} if key is None else {"Authorization": made if key == "KEY" else key}
    response = requests.request(step["method"], base + step["path"], headers=headers, json=step.get("json"))
    answer = response.json()
    made = answer.get("key", made)
    got.append([response.status_code, answer])
print(json.dumps(got))
`

async function python(interpreter: string, script: string, argv: readonly string[], input: string): Promise<string> {
  const child = spawn(interpreter, ["-c", script, ...argv], { env: { PATH: process.env.PATH ?? "", NO_PROXY: "*" } })
  child.stdin.end(input)
  const [out, err, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")])
  if (status !== 0) throw new Error(err)
  return out
}

/** Every call of the README, each path with `end` behind it. */
async function followed(t: Test, client: Client, end: string): Promise<void> {
  await startOn(t, async ({ base, master, asked, log }) => {
    const choose = { model: "other.gguf", model_config: "Other-profile" }
    const steps: Step[] = [
      { method: "GET", path: "/auth", key: master },
      { method: "GET", path: "/auth" },
      { method: "POST", path: "/auth/key", key: master },
      { method: "POST", path: "/auth/key", key: "KEY" },
      { method: "GET", path: "/models", key: "KEY" },
      { method: "POST", path: "/answer", key: "KEY", json: { prompt: "Hello {input}!", session_id: 1 } },
      { method: "POST", path: "/answer", key: "KEY", json: { prompt: "And now?", session_id: 1 } },
      { method: "GET", path: "/answer", key: "KEY" },
      { method: "POST", path: "/answer", key: master, json: { prompt: "Is it?", session_id: 7 } },
      { method: "GET", path: "/answer", key: master },
      { method: "POST", path: "/models/model", key: master, json: choose },
      { method: "POST", path: "/answer", key: "KEY", json: { prompt: "Alone?" } },
      { method: "POST", path: "/models/model", key: master, json: { ...choose, model_config: "none" } },
      { method: "POST", path: "/answer", key: "KEY", json: { session_id: 1 } },
      { method: "POST", path: "/answer", key: "unknown", json: { prompt: "Hello!" } },
    ].map((step) => ({ ...step, path: step.path + end }))
    const got = await client(base, steps)
    t.match(got, [
      [200, { auth: true }],
      [401, { message: "Unauthorized" }],
      [200, { key: /^.{20,}$/ }],
      [401, { message: "Unauthorized" }],
      [200, { models: [VICUNA, "other.gguf"] }],
      [200, { result: " Answer 1." }],
      [200, { result: " Answer 2." }],
      [200, { 1: "Hello {input}!..." }],
      [200, { result: " Answer 3." }],
      [200, { 7: SESSIONS[7].name }],
      [200, { model_status: true }],
      [200, { result: " Answer 4." }],
      [200, { model_status: /^no profile is called "none"; there are Vicuna-13b, Other-profile$/ }],
      [400, { message: /^Question not provided/ }],
      [401, { message: "Unauthorized" }],
    ])
    const bot = (history: string, input: string) => `You are a chatbot. \n\n${history} \n\nPROMPT: ${input} \n\nBOT:`
    t.same(
      asked.map(({ path, model, prompt }) => [path, model, prompt]),
      [
        ["/v1/completions", VICUNA, bot("", "Hello {input}!")],
        ["/v1/completions", VICUNA, bot("Human: Hello {input}!\nAI:  Answer 1.", "And now?")],
        ["/v1/completions", VICUNA, bot("Human: What is a llama?\nAI: An animal {of} the Andes.", "Is it?")],
        ["/v1/completions", "other.gguf", "\nQ: Alone?\nA:"],
      ],
    )
    t.match(asked[0], { temperature: 0.7, top_p: 0.8, top_k: 40, repeat_penalty: 1.1 })
    t.notOk("max_tokens" in (asked[0] ?? {}))
    t.match(log(), /profile Vicuna-13b: max_tokens is 16000, and \S+ takes 4096 tokens/)
  })
}

const interpreter = interpreterWith("requests")
const skip = interpreter === undefined && noInterpreter("requests")
const byPython: Client = async (base, steps) =>
  JSON.parse(await python(interpreter ?? "", SCRIPT, [base], JSON.stringify(steps)))

for (const end of ["", "/"]) {
  test(`each call of the README by fetch, the paths ending in "${end}"`, (t) => followed(t, byFetch, end))
  test(`each call of the README by Python's requests, the paths ending in "${end}"`, { skip }, (t) =>
    followed(t, byPython, end),
  )
}

test("the program of docs/local-llm-api.md runs as it stands there", { skip }, async (t) => {
  const page = readFileSync("docs/local-llm-api.md", "utf8")
  const program = /```python\n(.*?)```/s.exec(page)?.[1] ?? ""
  await startOn(t, async ({ base, master, asked }) => {
    const here = program.replace("http://localhost:5000", base).replace("YOUR-KEY", master)
    // What each call of it came to, in the place of an interpreter that shows it.
    const shown = here.replace(/^requests\.(.*?)\.json\(\)/gms, "print(requests.$1.json())")
    const out = await python(interpreter ?? "", shown, [], "")
    const lines = out.trim().split("\n")
    t.match(lines, [
      "{'auth': True}",
      /^\{'key': '/,
      `{'models': ['${VICUNA}', 'other.gguf']}`,
      "{'model_status': True}",
      "{'result': ' Answer 1.'}",
      /^\{'1': 'Hello!\.\.\.', '7': /,
    ])
    t.equal(asked.length, 1)
  })
})
