import { join } from "node:path"
import { createServer, type Server, type TLSSocket } from "node:tls"
import { type Test, test } from "tap"
import { UsageError } from "../../../lib/base/errors.ts"
import { clientCertificateFor, readClientCertificates } from "../../../lib/proxy/tls/client-certificates.ts"
import { ok, sharedCertificates, startProxy } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"

async function pemOf(name: string): Promise<string> {
  const { cert, key } = (await sharedCertificates()).chainFor(name)
  return `${cert}${key}`
}

function refused(path: string): string {
  try {
    readClientCertificates(path)
  } catch (thrown) {
    if (thrown instanceof UsageError) return thrown.message
    throw thrown
  }
  return "accepted"
}

/** A server that asks for a certificate and answers with the name in it. */
async function askingServer(t: Test, maxVersion: "TLSv1.2" | "TLSv1.3"): Promise<number> {
  const { chainFor, ca } = await sharedCertificates()
  const options = { ...chainFor("api.test"), requestCert: true, rejectUnauthorized: false, ca, maxVersion }
  const server: Server = createServer(options, (socket: TLSSocket) => {
    socket.on("error", () => {})
    socket.once("data", () => socket.end(ok(socket.getPeerX509Certificate()?.subjectAltName ?? "none")))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => server.close())
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

test("a file is for every host, a folder for the hosts that its files are called after", async (t) => {
  const [one, two] = [await pemOf("one.test"), await pemOf("two.test")]
  const folder = t.testdir({ "all.txt": one, each: { "A.test.pem": one, "127.0.0.1.pem": two, "notes.txt": "x" } })
  const all = readClientCertificates(join(folder, "all.txt"))
  t.match(clientCertificateFor(all, "any.test")?.cert, "BEGIN CERTIFICATE")
  const each = readClientCertificates(join(folder, "each"))
  t.ok(clientCertificateFor(each, "a.test"))
  t.not(clientCertificateFor(each, "127.0.0.1")?.cert, clientCertificateFor(each, "a.test")?.cert)
  t.equal(clientCertificateFor(each, "b.test"), undefined)
  t.equal(clientCertificateFor(each, "../each/A.test"), undefined)
})

test("what cannot be used stops the start with its name", async (t) => {
  const pem = await pemOf("one.test")
  const folder = t.testdir({
    "broken.pem": "x",
    empty: {},
    odd: { "a b.pem": pem },
    bad: { "a.test.pem": "x" },
  })
  t.match(refused(join(folder, "none")), /^--client-cert .*none: there is no such file/)
  t.match(refused(join(folder, "broken.pem")), /broken\.pem: it holds no PEM certificate/)
  t.match(refused(join(folder, "empty")), /no file in it is called HOST\.pem/)
  t.match(refused(join(folder, "odd")), /a b\.pem is not called after a host/)
  t.match(refused(join(folder, "bad")), /a\.test\.pem: it holds no PEM certificate/)
})

test("an upstream that asks gets the certificate for its host, and another one none", async (t) => {
  const folder = t.testdir({
    hosts: { "api.test.pem": await pemOf("client.test") },
    "all.pem": await pemOf("everywhere.test"),
  })
  const { ca } = await sharedCertificates()
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    const port = await askingServer(t, maxVersion)
    for (const [path, host, expected] of [
      [join(folder, "hosts"), "api.test", "DNS:client.test"],
      [join(folder, "hosts"), "other.test", "none"],
      [join(folder, "all.pem"), "other.test", "DNS:everywhere.test"],
    ] as const) {
      const proxy = await startProxy(t, {
        settings: {
          connectTo: [{ host: "", port: undefined, toHost: "127.0.0.1", toPort: port }],
          clientCertificates: readClientCertificates(path),
          verify: false,
        },
      })
      const tunnel = await Wire.tunnel(proxy.port, `${host}:443`)
      const client = await tunnel.secure({ servername: host, ca })
      client.write(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
      t.equal((await client.response()).text, expected, `${maxVersion} ${host}`)
      client.end()
    }
  }
})
