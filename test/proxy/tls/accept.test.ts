import { connect, createServer, type Socket } from "node:net"
import { PassThrough } from "node:stream"
import { connect as connectTls } from "node:tls"
import { type Test, test } from "tap"
import { acceptTls } from "../../../lib/proxy/tls/accept.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { eventually, sharedCertificates } from "../../helpers/test-proxy.ts"
import { duplexPair } from "../../helpers/wire/duplex-pair.ts"

/** Both ends of a TCP connection. */
async function connection(t: Test): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ allowHalfOpen: true })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const far = connect({ host: "127.0.0.1", port: typeof address === "object" ? (address?.port ?? 0) : 0 })
  far.on("error", () => {})
  const near = await new Promise<Socket>((resolve) => server.once("connection", resolve))
  near.on("error", () => {})
  server.close()
  t.teardown(() => {
    near.destroy()
    far.destroy()
  })
  return { near, far }
}

async function accept(near: Socket, clock: ManualClock) {
  const certificates = await sharedCertificates()
  return acceptTls(near, {
    clock,
    secureContext: certificates.contextFor("a.test"),
    alpn: ["http/1.1"],
    timeoutMs: 1_000,
    name: "a.test",
  })
}

function oldHello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new PassThrough()
    wire._write = (chunk: Buffer, _encoding, done) => {
      done()
      resolve(chunk)
    }
    connectTls({ socket: wire, servername: "a.test", maxVersion: "TLSv1.2" }).on("error", () => {})
  })
}

const UNKNOWN_CA = Buffer.from([0x15, 3, 3, 0, 2, 2, 48])
const BAD_CERTIFICATE = Buffer.from([0x15, 3, 3, 0, 2, 2, 42])
const INTERNAL_ERROR = Buffer.from([0x15, 3, 3, 0, 2, 2, 80])

test("a client that refuses our certificate is told from one that fails otherwise", async (t) => {
  for (const [alert, code, expected] of [
    [UNKNOWN_CA, "certificate-rejected", /alert unknown ca$/],
    [BAD_CERTIFICATE, "certificate-rejected", /alert bad certificate$/],
    [INTERNAL_ERROR, "tls-failed", /for a\.test failed: .*alert internal error$/],
  ] as const) {
    const { near, far } = await connection(t)
    const clock = new ManualClock()
    const accepting = accept(near, clock)
    far.write(await oldHello())
    far.once("data", () => far.write(alert))
    const failure = await accepting.catch((thrown: unknown) => thrown)
    t.match(failure, { code, status: 400 })
    t.match(String(failure), expected)
    t.notMatch(String(failure), /openssl|\.c:/)
    t.equal(clock.pending, 0)
    t.equal(near.destroyed, true)
  }
})

test("a client that leaves, resets or says nothing ends the handshake", async (t) => {
  const left = await connection(t)
  const leaving = accept(left.near, new ManualClock())
  left.far.end()
  await t.rejects(leaving, { code: "tls-failed", message: /failed: the client closed the connection$/ })
  const broken = await connection(t)
  const breaking = accept(broken.near, new ManualClock())
  broken.far.write(await oldHello(), () => broken.far.resetAndDestroy())
  await t.rejects(breaking, { message: /(the client|it) (broke off|closed the connection)/ })
  const seen = await connection(t)
  const refusing = accept(seen.near, new ManualClock())
  seen.far.write(await oldHello())
  seen.far.once("data", () => seen.far.end())
  await t.rejects(refusing, { code: "certificate-rejected", message: "it closed the connection when it saw it" })
  const silent = await connection(t)
  const clock = new ManualClock()
  const waiting = accept(silent.near, clock)
  await eventually(() => clock.pending > 0)
  clock.advance(1_000)
  await t.rejects(waiting, { code: "tls-failed", message: /no handshake within 1000 ms/ })
})

test("errors of later records end the connection, not the process", async (t) => {
  const { near, far } = await connection(t)
  const accepting = accept(near, new ManualClock())
  // Between client and socket, so that bytes can be put in that no client would send.
  const [inner, outer] = duplexPair()
  outer.pipe(far).pipe(outer)
  const client = connectTls({ socket: inner, servername: "a.test", ca: (await sharedCertificates()).ca })
  client.on("error", () => {})
  const agreed = new Promise((resolve) => client.once("secureConnect", resolve))
  const tls = await accepting
  await agreed
  far.write(Buffer.from([0x17, 3, 3, 0, 4, 1, 2, 3, 4]))
  tls.resume()
  await eventually(() => tls.destroyed && near.destroyed)
  t.pass("it lives")
})
