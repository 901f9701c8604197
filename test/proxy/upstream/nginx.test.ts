import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { type Test, test } from "tap"
import { eventually, sharedCertificates } from "../../helpers/test-proxy.ts"
import { bodyOf, get, secureTarget, sendHead, startPool } from "../../helpers/wire/h2-pool.ts"
import { Wire } from "../../helpers/wire/wire.ts"

const absent = spawnSync("nginx", ["-v"]).error !== undefined
const skip = absent ? "nginx is not installed" : false

const FILE_BYTES = 5_000_000

/** nginx over TLS and HTTP/2, which ends each connection after ten requests. Returns its port. */
async function startNginx(t: Test): Promise<number> {
  const dir = t.testdir({ "big.bin": Buffer.alloc(FILE_BYTES, 0x61).toString("latin1") })
  const { key, cert } = (await sharedCertificates()).chainFor("127.0.0.1")
  const port = await freePort()
  writeFileSync(join(dir, "chain"), cert)
  writeFileSync(join(dir, "secret"), key, { mode: 0o600 })
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((one) => `${one}_temp_path ${dir}/${one};`)
  const config = `
daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log;
events { worker_connections 256; }
http {
  access_log off; ${temporary.join(" ")}
  server {
    listen 127.0.0.1:${port} ssl http2; ssl_certificate ${dir}/chain; ssl_certificate_key ${dir}/secret;
    keepalive_requests 10; root ${dir};
    location = /hello { return 200 "hello"; }
  }
}
`
  writeFileSync(join(dir, "nginx.conf"), config)
  const child = spawn("nginx", ["-p", dir, "-c", join(dir, "nginx.conf")], { stdio: "ignore" })
  t.teardown(() => stopped(child))
  await listening(child, port)
  return port
}

function stopped(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null) return resolve()
    child.once("exit", () => resolve())
    child.kill("SIGTERM")
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })
}

async function listening(child: ChildProcess, port: number): Promise<void> {
  while (child.exitCode === null) {
    const wire = await Wire.connect(port).catch(() => undefined)
    wire?.socket.destroy()
    if (wire !== undefined) return
    await new Promise((resolve) => setImmediate(resolve))
  }
  throw new Error(`nginx ended with status ${child.exitCode}`)
}

test("nginx ends sessions with GOAWAY now and then, and no request is lost", { skip }, async (t) => {
  const port = await startNginx(t)
  const { upstream, connected } = await startPool(t)
  const target = secureTarget(port)
  for (let count = 0; count < 25; count++) t.equal(await get(await upstream.open(target), "/hello"), "hello")
  t.match(connected[0], { tls: { alpn: "h2" } })
  t.ok(connected.length > 1)
})

test("nginx: a large answer comes whole, beside one that is not read and one that is given up", { skip }, async (t) => {
  const port = await startNginx(t)
  const { upstream } = await startPool(t)
  const target = secureTarget(port)
  const stalled = await upstream.open(target)
  sendHead(stalled, { path: "/big.bin" })
  await stalled.head()
  const whole = await upstream.open(target)
  sendHead(whole, { path: "/big.bin" })
  t.equal((await whole.head()).headers.get("content-length"), String(FILE_BYTES))
  t.equal((await bodyOf(whole)).length, FILE_BYTES)
  const head = await upstream.open(target)
  sendHead(head, { path: "/big.bin", method: "HEAD" })
  await head.head()
  t.equal(await bodyOf(head), "")
  t.equal((await bodyOf(stalled)).length, FILE_BYTES)
  t.equal(stalled.info.id, whole.info.id)
  await eventually(() => upstream.size === 1)
})
