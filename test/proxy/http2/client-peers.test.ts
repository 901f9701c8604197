import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Test, test } from "tap"
import { Agent, fetch, ProxyAgent } from "undici"
import { openSession } from "../../helpers/clients/h2-client.ts"
import { startEchoHost } from "../../helpers/hosts/upgrade-host.ts"
import { baseTo, eventually, everythingTo, ok, startOrigin, startProxy } from "../../helpers/test-proxy.ts"
import { data, FLAG, FrameWire, headers } from "../../helpers/wire/h2-frames.ts"

/** Runs curl; resolves with what it printed and its exit status. */
function curl(...args: string[]): Promise<{ out: string; status: number }> {
  return new Promise((resolve) => {
    execFile("curl", ["-sS", "--max-time", "60", ...args], (error, out, err) => {
      resolve({ out: `${out}${err}`, status: typeof error?.code === "number" ? error.code : 0 })
    })
  })
}

async function folder(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "llmproxy-h2-"))
  t.teardown(() => rm(path, { recursive: true }))
  return path
}

/** Answers with what it got; `/cut` breaks off. */
async function mirror(t: Test, name?: string) {
  return startOrigin(
    t,
    ({ target, method, body }, socket) => {
      const head = `HTTP/1.1 200 OK\r\nX-Method: ${method}\r\nContent-Length: ${body.length + 10}\r\n\r\n`
      if (target === "/cut") socket.write(head, () => socket.destroy())
      else socket.write(ok(body.toString("latin1"), `X-Method: ${method}\r\n`), "latin1")
    },
    name,
  )
}

test("curl speaks HTTP/2 with us: through a tunnel by ALPN, and with prior knowledge", async (t) => {
  const origin = await mirror(t, "api.test")
  const settings = { ...everythingTo(origin), baseUpstream: new URL("https://api.test") }
  const proxy = await startProxy(t, { settings })
  const path = await folder(t)
  const body = randomBytes(300_000)
  await writeFile(join(path, "ca.pem"), proxy.certificates.ca)
  await writeFile(join(path, "body"), body)
  const write = ["-o", join(path, "got"), "-w", "%{http_version} %{http_code}"]
  const post = ["--data-binary", `@${join(path, "body")}`]
  const tunnel = ["-x", `http://127.0.0.1:${proxy.port}`, "--cacert", join(path, "ca.pem"), "--http2"]
  const clear = ["--http2-prior-knowledge"]
  const base = `http://127.0.0.1:${proxy.port}`
  for (const [where, how] of [
    ["https://api.test", tunnel],
    [base, clear],
  ] as const) {
    t.strictSame(await curl(...how, ...write, ...post, `${where}/echo`), { out: "2 200", status: 0 })
    t.ok((await readFile(join(path, "got"))).equals(body))
    const head = await curl(...how, "-I", "-w", "%{http_version}", `${where}/echo`)
    t.match(head.out, /x-method: HEAD[\s\S]*2$/)
    const cut = await curl(...how, ...write, `${where}/cut`)
    t.equal(cut.status, 92, `a cut is an error of the stream: ${cut.out}`)
  }
})

test("undici with allowH2 sends many requests on one connection", async (t) => {
  const origin = await mirror(t, "api.test")
  const proxy = await startProxy(t, {
    settings: { ...everythingTo(origin), baseUpstream: new URL("https://api.test") },
  })
  const { ca } = proxy.certificates
  const direct = new Agent({ allowH2: true, connect: { ca, servername: "localhost" } })
  const tunnel = new ProxyAgent({ uri: `http://127.0.0.1:${proxy.port}`, allowH2: true, requestTls: { ca } })
  t.teardown(() => Promise.all([direct.destroy(), tunnel.destroy()]))
  const body = "x".repeat(50_000)
  for (const [url, dispatcher] of [
    [`https://127.0.0.1:${proxy.port}/echo`, direct],
    ["https://api.test/echo", tunnel],
  ] as const) {
    const answers = Array.from({ length: 20 }, async () => {
      const response = await fetch(url, { method: "POST", body, dispatcher })
      return `${response.status} ${await response.text()}`
    })
    t.strictSame(new Set(await Promise.all(answers)), new Set([`200 ${body}`]))
  }
})

/** A masked frame of WebSocket with a short payload (RFC 6455 section 5.2). */
function message(opcode: number, text: string): Buffer {
  return Buffer.concat([Buffer.of(0x80 | opcode, 0x80 | text.length, 0, 0, 0, 0), Buffer.from(text)])
}

test("a WebSocket over HTTP/2 (RFC 8441) reaches an upstream that speaks HTTP/1.1", async (t) => {
  const port = await startEchoHost(t)
  const proxy = await startProxy(t, { settings: { baseUpstream: new URL(`http://127.0.0.1:${port}`) } })
  const session = await openSession(t, `http://127.0.0.1:${proxy.port}`)
  t.equal(session.remoteSettings.enableConnectProtocol, true)
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":path": "/ws",
    "sec-websocket-version": "13",
  })
  let got = Buffer.alloc(0)
  stream.on("data", (bytes: Buffer) => {
    got = Buffer.concat([got, bytes])
  })
  const answer = await new Promise<Record<string, unknown>>((resolve) =>
    stream.once("response", (fields) => resolve(fields)),
  )
  t.equal(answer[":status"], 200)
  for (const name of ["upgrade", "connection", "sec-websocket-accept"]) t.notOk(name in answer, name)
  stream.write(message(1, "hello"))
  await eventually(() => got.toString("latin1").endsWith("hello"))
  stream.end(message(8, "\x03\xe8"))
  await new Promise((resolve) => stream.once("close", resolve))
  t.equal(stream.rstCode, 0)
  t.equal(got.at(7), 0x88, "the close frame came back")
})

test("a client that leaves ends its WebSocket", async (t) => {
  const port = await startEchoHost(t)
  const proxy = await startProxy(t, { settings: { baseUpstream: new URL(`http://127.0.0.1:${port}`) } })
  const wire = await FrameWire.open(proxy.port)
  t.teardown(() => wire.socket.destroy())
  const fields = [
    [":method", "CONNECT"],
    [":protocol", "websocket"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "localhost"],
    ["sec-websocket-version", "13"],
  ] as const
  wire.write(headers(1, fields, FLAG.END_HEADERS))
  t.equal(await wire.status(1), 200)
  wire.write(data(1, message(1, "a")))
  await eventually(() => wire.body(1).endsWith("a"))
  wire.socket.destroy()
  await eventually(() => proxy.server.clients === 0)
})

test("an upstream that does not switch is not taken for a WebSocket", async (t) => {
  const origin = await startOrigin(t, ({ target }, socket) => {
    socket.write(target === "/no" ? "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno" : ok("page"))
  })
  const proxy = await startProxy(t, { settings: baseTo(origin) })
  const session = await openSession(t, `http://127.0.0.1:${proxy.port}`)
  const ask = async (path: string) => {
    const stream = session.request({ ":method": "CONNECT", ":protocol": "websocket", ":path": path })
    stream.resume().end()
    const answer = await new Promise<Record<string, unknown>>((resolve) =>
      stream.once("response", (fields) => resolve(fields)),
    )
    await new Promise((resolve) => stream.once("close", resolve))
    return answer[":status"]
  }
  t.equal(await ask("/no"), 403)
  t.equal(await ask("/page"), 502, "200 would mean that it is open")
})
