import { randomBytes } from "node:crypto"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { type Test, test } from "tap"
import type { AddonDefinition, TokenService } from "../../lib/api/addon.ts"
import type { LlmFlow } from "../../lib/api/flow.ts"
import { main } from "../../lib/cli/main.ts"
import { EXPORT_FORMATS } from "../../lib/store/exports.ts"
import { openSqlite } from "../../lib/store/sqlite.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
import { ScriptedOrigin } from "../../lib/testing/origin.ts"
import { startCommand } from "../helpers/command-process.ts"
import { CHAT_PATH, chatBody, message, type Rig, type RigOptions, startRig } from "../helpers/conductor-rig.ts"
import { FakeWorld } from "../helpers/world.ts"

const KEY = `sk-${randomBytes(16).toString("hex")}`

function json(body: unknown, status = 200): string {
  const text = JSON.stringify(body)
  return `HTTP/1.1 ${status} OK\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`
}

function answer(content: string, more: object = {}): string {
  const said = { role: "assistant", content, refusal: null }
  const choices = [{ index: 0, message: said, finish_reason: "stop" }]
  const usage = {
    prompt_tokens: 9,
    completion_tokens: 3,
    total_tokens: 12,
    prompt_tokens_details: { cached_tokens: 4 },
  }
  return json({ id: "c1", object: "chat.completion", created: 1, model: "gpt-4o-x", choices, usage, ...more })
}

/** A chunked stream; without an end it is cut. */
function stream(events: readonly object[], isWhole: boolean): string {
  const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
  const text =
    events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("") + (isWhole ? "data: [DONE]\n\n" : "")
  return `${head}${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n${isWhole ? "0\r\n\r\n" : ""}`
}

/** Asks the local host first, as a conductor does. */
function router(local: () => ScriptedOrigin | undefined, isLocal: (flow: LlmFlow) => boolean): AddonDefinition {
  return {
    name: "router",
    async llmRequest(flow) {
      if (!isLocal(flow)) return flow.route({ name: "cloud", reason: "too long", tokens: 1_500 })
      const url = `http://127.0.0.1:${local()?.port}/v1/chat/completions`
      const answer = await flow.send({ json: flow.llm.request.body }, { url })
      flow.route({ name: answer.failure === undefined ? "local" : "cloud", reason: "because", tokens: 7 })
      if (answer.failure === undefined) flow.respond(answer)
      else answer.abort()
    },
  }
}

function piece(content: string, finish: string | null = null): object {
  return {
    id: "c2",
    object: "chat.completion.chunk",
    model: "gpt-4o-x",
    choices: [{ index: 0, delta: { content }, finish_reason: finish }],
  }
}

async function rig(t: Test, options: RigOptions): Promise<Rig> {
  return await startRig(t, { scripts: ["addons/history.ts"], env: { OPENAI_API_KEY: KEY }, ...options })
}

/** Ends the program and reads what it has kept. */
async function kept({ app, confdir }: Rig) {
  await app.stop()
  const { db, close } = openSqlite(join(confdir, "history.db"), { readOnly: true })
  try {
    return {
      flows: await db.selectFrom("flows").selectAll().orderBy("started_at").orderBy("id").execute(),
      contents: (await db.selectFrom("contents").select("json").execute()).map(({ json: text }) => text),
    }
  } finally {
    close()
  }
}

test("a chat is kept with its answer, its tokens and its times", async (t) => {
  const started = await rig(t, { cloud: (_, socket) => void socket.write(answer("Hello!")) })
  const wire = await started.through()
  const body = JSON.stringify(chatBody({ temperature: 0.5, tools: [{ type: "function", function: { name: "f" } }] }))
  wire.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nAuthorization: Bearer ${KEY}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  t.equal((await wire.response()).status, 200)
  const { flows, contents } = await kept(started)
  t.equal(flows.length, 1)
  const [flow] = flows
  t.match(flow, {
    method: "POST",
    url: "https://api.openai.com/v1/chat/completions",
    status: 200,
    dialect: "openai-chat",
    model: "gpt-4o",
    answered_model: "gpt-4o-x",
    finish_reason: "stop",
    streamed: 0,
    input_tokens: 9,
    output_tokens: 3,
    cached_tokens: 4,
    reasoning_tokens: null,
    usage_source: "provider",
  })
  t.ok(flow !== undefined && flow.end_ms !== null && flow.end_ms >= 0)
  t.ok(contents.includes('{"role":"user","content":"Say hello."}'))
  t.ok(contents.includes('{"role":"assistant","content":"Hello!"}'))
  t.ok(contents.includes('{"model":"gpt-4o","temperature":0.5}'))
  t.ok(contents.includes('[{"type":"function","function":{"name":"f"}}]'))
})

test("what a host did not count is counted, a cut stream's too, and the source says so", async (t) => {
  const started = await rig(t, {
    cloud: (request, socket) => {
      const isCut = request.body.includes("cut")
      socket.end(stream([piece("Hello "), piece("there", isCut ? null : "stop")], !isCut))
    },
  })
  for (const content of ["whole", "cut"]) {
    const wire = await started.through()
    const body = JSON.stringify(chatBody({ stream: true, messages: [{ role: "user", content }] }))
    wire.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
    await wire.response().catch(() => {})
    wire.socket.destroy()
  }
  const { flows } = await kept(started)
  t.equal(flows.length, 2)
  for (const flow of flows)
    t.match(flow, { usage_source: "counted", input_tokens: 8, output_tokens: 2, total_tokens: 10 })
  const cut = flows.filter(({ finish_reason }) => finish_reason === "cut")
  t.match(cut, [{ error_source: "upstream" }])
  t.same(
    flows.filter((flow) => !cut.includes(flow)).map(({ finish_reason }) => finish_reason),
    ["stop"],
  )
})

test("an attempt is a flow with a parent, and the route says why", async (t) => {
  let local: ScriptedOrigin | undefined
  const started = await rig(t, {
    builtin: [
      router(
        () => local,
        () => true,
      ),
    ],
    local: (_, socket) => void socket.write(json({ error: { message: "model crashed" } }, 500)),
    cloud: (_, socket) => void socket.write(answer("From the cloud")),
  })
  local = started.local
  const wire = await started.through()
  wire.write(message("POST", CHAT_PATH, "api.openai.com", chatBody()))
  t.equal((await wire.response()).status, 200)
  const { flows } = await kept(started)
  t.equal(flows.length, 2)
  const parent = flows.find(({ parent_id }) => parent_id === null)
  const child = flows.find(({ parent_id }) => parent_id !== null)
  t.equal(child?.parent_id, parent?.id)
  t.match(parent, { route: "cloud", route_reason: "because", route_tokens: 7, status: 200 })
  t.match(child, { status: 500, llm_error_message: "model crashed" })
})

test("flows that speak with no model are kept only when all are asked for, without bodies", async (t) => {
  const cloud: RigOptions["cloud"] = (_, socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
  for (const all of [false, true]) {
    const started = await rig(t, { cloud, env: all ? { LLMPROXY_HISTORY_ALL: "true" } : {} })
    const wire = await started.through()
    wire.write(`GET /page?api_key=${KEY} HTTP/1.1\r\nHost: api.openai.com\r\n\r\n`)
    await wire.response()
    const { flows } = await kept(started)
    if (!all) t.same(flows, [])
    else t.match(flows, [{ url: "https://api.openai.com/page?api_key=***", dialect: null, status: 200 }])
  }
})

test("the seed's files get each answer as it comes", async (t) => {
  const folder = t.testdir({})
  const path = (name: string) => join(folder, name)
  let local: ScriptedOrigin | undefined
  const started = await rig(t, {
    builtin: [
      router(
        () => local,
        ({ llm }) => llm.request.messages.length === 1,
      ),
    ],
    envFile: {
      MIDDLE_MAN_JSON: path("history.json"),
      OUTPUT_LOG: path("output.log"),
      OPENAI_OUTPUT_LOG: path("openai_output.log"),
    },
    local: (_, socket) => void socket.write(answer(`local says, ${KEY}`)),
    cloud: (_, socket) => void socket.write(answer("cloud says\nüber")),
  })
  const long = {
    messages: [
      { role: "system", content: "Be kind." },
      { role: "user", content: "word ".repeat(1_500) },
    ],
  }
  local = started.local
  for (const more of [{}, long]) {
    const wire = await started.through()
    wire.write(message("POST", CHAT_PATH, "api.openai.com", chatBody(more)))
    t.equal((await wire.response()).status, 200)
  }
  await started.app.stop()
  const records: unknown = JSON.parse(await readFile(path("history.json"), "utf8"))
  t.match(records, [
    { instruction: "Say hello.", output: "local says, sk-***", tokens: 7, client: "Local LLM" },
    { instruction: `Be kind. ${"word ".repeat(1_500)}`, output: "cloud says\nüber", tokens: 1_500, client: "OpenAI" },
  ])
  t.match(
    await readFile(path("output.log"), "utf8"),
    /^\S+Z gpt-4o-x 200 in 9 out 3, because\nExtracted Response: local says, sk-\*\*\*\n\n$/,
  )
  t.match(await readFile(path("openai_output.log"), "utf8"), /Extracted Response: cloud says\nüber\n/)
})

test("no secret reaches a file, wherever in a flow it stands", async (t) => {
  const folder = t.testdir({})
  const plain = "correct-horse-battery-staple" // A key that looks like words is known by the field that it came in.
  const cookie = randomBytes(12).toString("hex")
  const started = await rig(t, {
    envFile: { MIDDLE_MAN_JSON: join(folder, "h.json"), OPENAI_OUTPUT_LOG: join(folder, "o.log") },
    cloud: (request, socket) => {
      if (request.body.includes("fail"))
        socket.write(json({ error: { message: `Incorrect API key provided: ${plain}`, param: plain } }, 401))
      else
        socket.write(
          answer(`You sent ${plain} and ${KEY}`).replace("OK\r\n", `OK\r\nSet-Cookie: id=${cookie}; Path=/\r\n`),
        )
    },
  })
  for (const word of ["ok", "fail"]) {
    const wire = await started.through()
    const messages = [
      { role: "user", content: `${word}: curl -H "Authorization: Bearer ${KEY}" and my key is ${plain}` },
      {
        role: "assistant",
        tool_calls: [
          { id: "1", type: "function", function: { name: "f", arguments: JSON.stringify({ api_key: KEY }) } },
        ],
        content: null,
      },
    ]
    const body = JSON.stringify(chatBody({ messages, metadata: { client_secret: plain }, user: plain }))
    wire.write(
      `POST /v1/chat/completions?api_key=${KEY} HTTP/1.1\r\nHost: api.openai.com\r\nAuthorization: Bearer ${plain}\r\nX-Api-Key: ${KEY}\r\nCookie: sid=${cookie}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
    await wire.response()
  }
  // While it runs: what has not moved from the log into the file yet is looked at as well.
  const files = ["history.db", "history.db-wal", "history.db-shm"].map((name) => join(started.confdir, name))
  let bytes = Buffer.alloc(0)
  const read = async () => {
    const found = await Promise.all(files.map((file) => readFile(file).catch(() => Buffer.alloc(0))))
    bytes = Buffer.concat(found)
  }
  await read()
  while (!bytes.includes("Incorrect API key")) await read()
  await started.app.stop()
  const rest = await Promise.all(
    [files[0] ?? "", join(folder, "h.json"), join(folder, "o.log")].map((file) => readFile(file)),
  )
  const world = new FakeWorld({ cwd: folder, env: { LLMPROXY_CONFDIR: started.confdir } })
  for (const args of [...EXPORT_FORMATS.map((format) => ["export", "--format", format]), ["list"], ["stats"]])
    t.equal(await main(["history", ...args], world), 0)
  const printed = [...started.lines, world.out.text, world.err.text].map((text) => Buffer.from(text))
  const everything = Buffer.concat([bytes, ...rest, ...printed])
  t.ok(everything.includes("You sent"))
  for (const secret of [KEY, plain, cookie]) t.notOk(everything.includes(secret), secret)
})

test("a flow is on disk at most 250 ms after its end, counted or not, and gets its counts when they are there", async (t) => {
  const clock = new ManualClock(Date.now()) // For certificates, whose makers go by the machine's.
  let count = () => {}
  const counted = new Promise<void>((resolve) => {
    count = resolve
  })
  const slow: TokenService = {
    countText: () => counted.then(() => 5),
    countRequest: () => counted.then(() => ({ tokens: 11, method: "o200k_base", confidence: "exact", images: [] })),
    boundRequest: () => 100,
    warm: () => Promise.resolve(),
    vocabulary: () => Promise.reject(new Error("none")),
  }
  const started = await rig(t, {
    cloud: (_, socket) => void socket.end(stream([piece("Hi", "stop")], true)),
    clock,
    tokens: slow,
  })
  const wire = await started.through()
  const body = JSON.stringify(chatBody({ stream: true }))
  wire.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  t.equal((await wire.response()).status, 200)
  const { db, close } = openSqlite(join(started.confdir, "history.db"), { readOnly: true })
  t.teardown(close)
  const flows = async () => {
    await new Promise((resolve) => setImmediate(resolve)) // SQLite answers at once, and nothing else would run.
    return await db.selectFrom("flows").selectAll().execute()
  }
  t.same(await flows(), [], "it waits for its counts")
  clock.advance(250)
  while ((await flows()).length === 0);
  t.match(await flows(), [{ input_tokens: null, usage_source: "none", answered_model: "gpt-4o-x" }])
  count()
  while ((await flows()).some(({ usage_source }) => usage_source !== "counted"));
  t.match(await flows(), [{ input_tokens: 11, usage_source: "counted" }])
})

test("the history is there before the port is open", async (t) => {
  const folder = t.testdir()
  const command = startCommand(t, ["-p", "0", "-s", "history", "--confdir", "conf"], { folder })
  await command.printed(/listening on/)
  const world = new FakeWorld({ home: folder, cwd: folder })
  t.equal(await main(["history", "--confdir", "conf"], world), 0)
  t.equal(world.err.text, "no flows\n")
  command.signal("SIGTERM")
  t.equal((await command.outcome).status, 0)
})

test("what has been written survives kill -9", async (t) => {
  const folder = t.testdir()
  const origin = await ScriptedOrigin.start((_, socket) => void socket.write(answer("Hello!")))
  t.teardown(() => origin.close())
  const args = ["-p", "0", "-s", "history", "--confdir", "conf", "--base-upstream", `http://127.0.0.1:${origin.port}`]
  const command = startCommand(t, args, { folder })
  const [, url = ""] = await command.printed(/listening on (\S+)/)
  for (let i = 0; i < 20; i++) {
    const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: JSON.stringify(chatBody({})) })
    await response.text()
  }
  const count = async () => {
    const world = new FakeWorld({ home: folder, cwd: folder })
    await main(["history", "--confdir", "conf"], world)
    return world.out.text.split("\n").length - 1
  }
  while ((await count()) < 20) await new Promise((resolve) => setImmediate(resolve))
  command.signal("SIGKILL")
  await command.outcome
  t.equal(await count(), 20)
})
