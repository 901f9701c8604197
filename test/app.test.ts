/** The program without its command line: what starts, what refuses to, and that it ends. */
import assert from "node:assert/strict"
import { once } from "node:events"
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Test, test } from "tap"
import { loadOrCreateCa } from "../certs/ca.ts"
import { LeafFactory } from "../certs/leaf.ts"
import type { AddonDefinition } from "../lib/api/addon.ts"
import { App, type AppOptions } from "../lib/app.ts"
import { StartError, systemCodeOf, UsageError } from "../lib/base/errors.ts"
import { makeLogger } from "../lib/base/log.ts"
import { NO_SOURCES } from "../lib/options/sources.ts"
import { answer, origin, request } from "./helpers/hosts/proxy-host.ts"
import { Wire } from "./helpers/wire/wire.ts"

async function makeApp(t: Test, options: Partial<AppOptions> & { flags?: Record<string, unknown> } = {}) {
  const confdir = options.confdir ?? (await mkdtemp(join(tmpdir(), "llmproxy-app-")))
  t.teardown(() => rm(confdir, { recursive: true, force: true }))
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`))
  const { flags = {}, ...rest } = options
  const app = new App({
    sources: { ...NO_SOURCES, flags: { port: 0, ...flags } },
    scripts: [],
    places: { folders: [confdir], shipped: undefined },
    confdir,
    log,
    watch: false,
    ...rest,
  })
  t.teardown(() => app.stop())
  return { app, lines, confdir }
}

test("the program starts, serves, tells its CA, and stops", async (t) => {
  const order: string[] = []
  const builtin: AddonDefinition = {
    name: "builtin",
    running: () => void order.push("running"),
    done: () => void order.push("done"),
    request: (flow) => flow.request.headers.set("X-By", "builtin"),
  }
  const { app, lines } = await makeApp(t, { builtin: [builtin], flags: { insecure: true } })
  assert.throws(() => app.ca, /once the program has started/)
  assert.equal(app.clients, 0)
  const { host, port } = await app.start()
  assert.equal(host, "127.0.0.1")
  assert.match(app.ca.certPem, /BEGIN CERTIFICATE/)
  const up = await origin(t, (_, socket) => void socket.write(answer("hello")))
  const wire = await Wire.connect(port)
  wire.write(request("GET", up.port, "/"))
  assert.equal((await wire.response()).text, "hello")
  assert.match(up.requests[0]?.head ?? "", /X-By: builtin/)
  assert.equal(app.clients, 1)
  assert.match(lines.join("\n"), /--insecure/)
  await app.stop()
  await wire.ended
  assert.deepEqual(order, ["running", "done"])
})

test("what was intercepted gets a leaf of the CA", async (t) => {
  const { app } = await makeApp(t)
  const { port } = await app.start()
  const tunnel = await Wire.tunnel(port, "some.example:443")
  const wire = await tunnel.secure({ servername: "some.example", ca: app.ca.certPem })
  wire.socket.destroy()
})

test("addons count tokens with the program's own counter", async (t) => {
  const counted: unknown[] = []
  const counts: AddonDefinition = {
    name: "counts",
    setup: ({ tokens }) => ({
      async llmRequest(flow) {
        await tokens.warm("gpt-4o")
        counted.push(await tokens.countText("hello world", "gpt-4o"))
        counted.push(
          (await tokens.countRequest(flow.llm.request)).tokens > 3,
          tokens.boundRequest(flow.llm.request) > 3,
        )
        flow.respond({ text: "ok" })
      },
    }),
  }
  const { app } = await makeApp(t, { builtin: [counts], flags: { hookBudgetMs: 600_000 } })
  const { port } = await app.start()
  const wire = await Wire.connect(port)
  const body = '{"model":"gpt-4o","messages":[{"role":"user","content":"hello world"}]}'
  wire.write(request("POST", 1, "/v1/chat/completions", body))
  assert.equal((await wire.response("POST")).text, "ok")
  assert.deepEqual(counted, [2, true, true])
  wire.socket.destroy()
})

test("a port in use and a CA that cannot be read refuse the start with one line", async (t) => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve))
  t.teardown(() => taken.close())
  const address = taken.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const { app } = await makeApp(t, { flags: { port } })
  await assert.rejects(
    app.start(),
    (thrown) => thrown instanceof StartError && /the port is in use/.test(thrown.message),
  )
  const broken = await makeApp(t)
  await writeFile(join(broken.confdir, "llmproxy-ca.pem"), "no certificate", { mode: 0o600 })
  await assert.rejects(
    broken.app.start(),
    (thrown) => thrown instanceof StartError && /llmproxy-ca\.pem/.test(thrown.message),
  )
})

test("an unknown script and a bad option are the user's mistakes", async (t) => {
  const { app } = await makeApp(t, { scripts: ["nowhere.ts"] })
  await assert.rejects(app.start(), (thrown) => thrown instanceof UsageError && /nowhere\.ts/.test(thrown.message))
  await assert.rejects(makeApp(t, { flags: { port: 99_999 } }), UsageError)
})

test("a program that is stopped as soon as it has started takes no clients, and has kept what it built", async (t) => {
  const { app, confdir } = await makeApp(t, { scripts: ["a.ts"], builtin: [] })
  await assert.rejects(app.start(), UsageError, "the addon is not there yet")
  await writeFile(join(confdir, "a.ts"), "export function load() {}")
  const { host, port } = await app.start()
  await app.stop()
  const [refused] = await once(connect(port, host), "error")
  assert.equal(systemCodeOf(refused), "ECONNREFUSED")
  assert.equal((await readdir(join(confdir, "cache"))).length, 1)
})

test("each mode listens on its own address, and the one for HTTP clients is told", async (t) => {
  const { app } = await makeApp(t, { flags: { port: 0, mode: ["socks5@127.0.0.2:0", "regular", "transparent@0"] } })
  assert.equal(app.listeners.length, 0, "nothing listens before the start")
  const first = await app.start()
  const { listeners } = app
  assert.deepEqual(
    listeners.map(({ text, host }) => [text, host]),
    [
      ["socks5", "127.0.0.2"],
      ["regular", "127.0.0.1"],
      ["transparent", "127.0.0.1"],
    ],
  )
  assert.deepEqual(first, listeners[1])
  assert.equal(new Set(listeners.map(({ port }) => port)).size, 3)
  const socks = await new Promise<Buffer>((resolve, reject) => {
    const socket = connect(listeners[0]?.port ?? 0, "127.0.0.2", () => socket.write(Buffer.from([5, 1, 0])))
    socket.once("error", reject)
    socket.once("data", (bytes: Buffer) => {
      resolve(bytes)
      socket.destroy()
    })
  })
  assert.deepEqual(socks, Buffer.from([5, 0]))
  const alone = await makeApp(t, { flags: { port: 0, mode: ["socks5"] } })
  assert.equal((await alone.app.start()).port, alone.app.listeners[0]?.port)
})

test("modes that cannot be are refused before anything listens, and one port in use opens none", async (t) => {
  const refused = async (flags: Record<string, unknown>, pattern: RegExp) => {
    const starting = makeApp(t, { flags: { port: 0, ...flags } }).then(({ app }) => app.start())
    await assert.rejects(starting, (thrown) => thrown instanceof UsageError && pattern.test(thrown.message))
  }
  await refused({ mode: ["sock5"] }, /no such mode/)
  await refused({ port: 8_080, mode: ["regular", "socks5"] }, /would both listen on 127\.0\.0\.1:8080/)
  await refused({ mode: ["transparent"], proxyAuth: "a:b" }, /cannot authenticate; use --allow-clients/)
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve))
  t.teardown(() => taken.close())
  const address = taken.address()
  const port = typeof address === "object" ? (address?.port ?? 0) : 0
  const free = createServer()
  await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve))
  const known = free.address()
  const other = typeof known === "object" ? (known?.port ?? 0) : 0
  await new Promise((resolve) => free.close(resolve))
  const { app } = await makeApp(t, { flags: { mode: [`regular@${other}`, `socks5@${port}`] } })
  await assert.rejects(app.start(), StartError)
  assert.equal(app.listeners.length, 0)
  const [thrown] = await once(connect(other, "127.0.0.1"), "error")
  assert.equal(systemCodeOf(thrown), "ECONNREFUSED")
})

test("the page that sets a device up is served, with the CA's certificate", async (t) => {
  const { app } = await makeApp(t)
  const { port } = await app.start()
  const client = await Wire.connect(port)
  client.write("GET /.llmproxy/cert/pem HTTP/1.1\r\nHost: localhost\r\n\r\n")
  assert.equal((await client.response()).text, app.ca.certPem)
  client.write(`GET http://llmproxy.local/ HTTP/1.1\r\nHost: llmproxy.local\r\n\r\n`)
  assert.ok((await client.response()).text.includes(`http://127.0.0.1:${port}`))
  client.end()
})

test("a key log is warned of, and so is a certificate of the user's that has expired", async (t) => {
  const confdir = await mkdtemp(join(tmpdir(), "llmproxy-app-"))
  const lastYear = () => Date.now() - 300 * 86_400_000
  const ca = await loadOrCreateCa(confdir, { clock: lastYear })
  const { cert, key } = new LeafFactory(ca, { clock: lastYear }).chainFor("a.test")
  const file = join(confdir, "own.pem")
  await writeFile(file, cert + key)
  const flags = { keyLogFile: join(confdir, "keys.log"), certs: [file] }
  const { app, lines } = await makeApp(t, { confdir, flags })
  await app.start()
  assert.ok(lines.some((line) => line.startsWith("warn TLS secrets are written to")))
  assert.ok(lines.some((line) => line.includes("this certificate expired on")))
})

test("a program whose code cannot be loaded closes its ports and says so; nobody is left with a rejected promise", async (t) => {
  const { app } = await makeApp(t, { serving: () => Promise.reject(new Error("EMFILE: too many open files")) })
  const { port } = await app.start()
  await assert.rejects(app.broken, (thrown) => {
    assert.ok(thrown instanceof StartError)
    assert.equal(thrown.message, "clients cannot be served: EMFILE: too many open files")
    return true
  })
  const socket = connect(port, "127.0.0.1")
  const [error] = await once(socket, "error")
  assert.equal(systemCodeOf(error), "ECONNREFUSED")
  await app.stop()
})
