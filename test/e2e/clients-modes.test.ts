/**
 * Clients that nobody wrote for us, through each mode: curl, openssl s_client, nc, and Node's fetch (undici). What the
 * modes do byte by byte is tested in test/proxy/scenarios.
 */
import { spawn } from "node:child_process"
import { writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { type Test, test } from "tap"
import { ProxyAgent, fetch as undiciFetch } from "undici"
import { type Mode, parseMode } from "../../lib/proxy/session/mode.ts"
import { missing, plainEnvironment } from "../helpers/command-process.ts"
import { always, ok, sharedCertificates, startOrigin, startProxy, type TestProxy } from "../helpers/test-proxy.ts"

const ME = { proxyUsers: [{ name: "me", secret: { kind: "password" as const, text: "p@ss" } }] }

/** Runs a client, with `input` on its standard input until `until` has been printed; resolves with what it printed. */
function client(
  t: Test,
  folder: string,
  [program = "", ...args]: string[],
  input = "",
  until?: RegExp,
): Promise<string> {
  const child = spawn(program, args, { cwd: folder, env: plainEnvironment(folder), stdio: ["pipe", "pipe", "pipe"] })
  t.teardown(() => child.kill("SIGKILL"))
  child.stdin.on("error", () => {}) // A client that was refused reads nothing.
  child.stdin.write(input)
  if (until === undefined) child.stdin.end()
  return new Promise((resolve, reject) => {
    let printed = ""
    const take = (bytes: Buffer) => {
      printed += bytes.toString("latin1")
      if (until?.test(printed)) child.stdin.end()
    }
    child.stdout.on("data", take)
    child.stderr.on("data", take)
    child.once("error", reject)
    child.once("close", (status) => resolve(`${printed}\nstatus ${status}`))
  })
}

interface Rig {
  readonly folder: string
  readonly plain: number
  readonly secure: number
}

async function origins(t: Test): Promise<Rig> {
  const folder = t.testdir()
  await writeFile(join(folder, "ca.pem"), (await sharedCertificates()).ca)
  const plain = await startOrigin(t, always(ok("plain answer")))
  const secure = await startOrigin(t, always(ok("secret answer")), "localhost")
  return { folder, plain: plain.port, secure: secure.port }
}

const seen = (urls: string[]) => ({
  hooks: { request: (flow: { request: { url: string } }) => void urls.push(flow.request.url) },
})

/** A proxy in front of which one of that mode stands. */
async function behind(t: Test, mode: Mode, urls: string[] = []): Promise<TestProxy> {
  return startProxy(t, { mode, ...seen(urls) })
}

test("curl: SOCKS5, with the name resolved by either side, and with a user", { skip: missing("curl") }, async (t) => {
  const { folder, plain, secure } = await origins(t)
  const urls: string[] = []
  const proxy = await behind(t, { kind: "socks5" }, urls)
  const curl = (x: string, url: string) => client(t, folder, ["curl", "-sS", "--cacert", "ca.pem", "-x", x, url])
  for (const scheme of ["socks5", "socks5h"]) {
    t.equal(await curl(`${scheme}://127.0.0.1:${proxy.port}`, `http://localhost:${plain}/`), "plain answer\nstatus 0")
    t.equal(
      await curl(`${scheme}://127.0.0.1:${proxy.port}`, `https://localhost:${secure}/`),
      "secret answer\nstatus 0",
    )
  }
  t.strictSame(urls.slice(2), [`http://localhost:${plain}/`, `https://localhost:${secure}/`])
  const closed = await startProxy(t, { mode: { kind: "socks5" }, settings: ME })
  const url = `http://localhost:${plain}/`
  t.equal(await curl(`socks5h://me:p%40ss@127.0.0.1:${closed.port}`, url), "plain answer\nstatus 0")
  for (const user of ["me:guess@", ""])
    t.match(
      await curl(`socks5h://${user}127.0.0.1:${closed.port}`, url),
      /status 97$/,
      "curl's word for a failed handshake",
    )
})

test("curl: through a reverse listener, and through each kind of upstream proxy", {
  skip: missing("curl"),
}, async (t) => {
  const { folder, plain, secure } = await origins(t)
  const curl = (...args: string[]) => client(t, folder, ["curl", "-sS", "--cacert", "ca.pem", ...args])
  const reverse = await behind(t, parseMode(`reverse:https://localhost:${secure}`).mode)
  t.equal(await curl(`http://127.0.0.1:${reverse.port}/`), "secret answer\nstatus 0")
  t.equal(await curl(`https://localhost:${reverse.port}/`), "secret answer\nstatus 0")
  const urls: string[] = []
  const [http, socks] = await Promise.all([
    startProxy(t, { settings: ME, ...seen(urls) }),
    startProxy(t, { mode: { kind: "socks5" }, settings: ME, ...seen(urls) }),
  ])
  for (const via of [
    `http://me:p%40ss@127.0.0.1:${http.port}`,
    `https://me:p%40ss@localhost:${http.port}`,
    `socks5://me:p%40ss@127.0.0.1:${socks.port}`,
  ]) {
    const proxy = await behind(t, { kind: "upstream", via })
    const x = ["-x", `http://127.0.0.1:${proxy.port}`]
    urls.length = 0
    t.equal(await curl(...x, `http://localhost:${plain}/`), "plain answer\nstatus 0", via.slice(0, 6))
    t.equal(await curl(...x, `https://localhost:${secure}/`), "secret answer\nstatus 0")
    t.equal(await curl(...x, "-p", `http://localhost:${plain}/`), "plain answer\nstatus 0")
    t.strictSame(
      urls,
      [plain, secure, plain].map((port) => `http${port === secure ? "s" : ""}://localhost:${port}/`),
    )
  }
})

test("openssl s_client: a tunnel, a reverse listener and a redirected connection have leaves of our CA", {
  skip: missing("openssl"),
}, async (t) => {
  const { folder, secure } = await origins(t)
  const regular = await startProxy(t)
  const reverse = await behind(t, parseMode(`reverse:https://localhost:${secure}`).mode)
  const original = { host: "127.0.0.1", port: secure }
  const redirected = await startProxy(t, { mode: { kind: "transparent" }, destinationOf: () => original })
  for (const to of [
    ["-proxy", `127.0.0.1:${regular.port}`, "-connect", `localhost:${secure}`],
    ["-connect", `127.0.0.1:${reverse.port}`],
    ["-connect", `127.0.0.1:${redirected.port}`],
  ]) {
    const check = [
      "-servername",
      "localhost",
      "-CAfile",
      "ca.pem",
      "-verify_return_error",
      "-verify_hostname",
      "localhost",
    ]
    const get = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    const printed = await client(t, folder, ["openssl", "s_client", ...to, ...check], get, /secret answer/)
    t.match(printed, /Verify return code: 0 \(ok\)/, to.join(" "))
    t.match(printed, "secret answer")
  }
})

test("nc: bytes of no protocol pass through CONNECT and SOCKS5", { skip: noNetcat() }, async (t) => {
  const { folder } = await origins(t)
  const server = createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1")
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once("listening", resolve))
  const address = server.address()
  const port = String(typeof address === "object" ? address?.port : 0)
  const [regular, socks] = [await startProxy(t), await behind(t, { kind: "socks5" })]
  for (const [protocol, proxy] of [
    ["connect", regular],
    ["5", socks],
  ] as const) {
    const nc = ["nc", "-N", "-w", "30", "-X", protocol, "-x", `127.0.0.1:${proxy.port}`, "127.0.0.1", port]
    t.match(await client(t, folder, nc, "\x00opaque\n", /opaque/), "\x00opaque\n")
  }
})

function noNetcat(): string | false {
  return missing("nc") // OpenBSD's, which Debian has as netcat-openbsd: others know no proxies
}

test("undici: a proxy agent through regular and upstream listeners, and fetch at a reverse listener", async (t) => {
  const { plain, secure } = await origins(t)
  const { ca } = await sharedCertificates()
  const parent = await startProxy(t)
  const upstream = await behind(t, { kind: "upstream", via: `http://127.0.0.1:${parent.port}` })
  for (const proxy of [parent, upstream]) {
    const dispatcher = new ProxyAgent({ uri: `http://127.0.0.1:${proxy.port}`, requestTls: { ca } })
    for (const [url, text] of [
      [`http://localhost:${plain}/`, "plain answer"],
      [`https://localhost:${secure}/`, "secret answer"],
    ] as const)
      t.equal(await (await undiciFetch(url, { dispatcher })).text(), text)
    await dispatcher.close()
  }
  const reverse = await behind(t, parseMode(`reverse:http://127.0.0.1:${plain}`).mode)
  t.equal(await (await fetch(`http://127.0.0.1:${reverse.port}/`)).text(), "plain answer")
})
