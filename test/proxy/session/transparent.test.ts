/** Where a redirected connection was going, as the kernel tells it, and what is said where it does not. */
import { connect, createServer, Socket } from "node:net"
import { type Test, test } from "tap"
import { loadTransparent } from "../../../lib/proxy/session/transparent.ts"

/** An accepted socket on `host`. */
async function accepted(t: Test, host: string): Promise<Socket> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  const address = server.address()
  const socket = new Promise<Socket>((resolve) => server.once("connection", resolve))
  const client = connect(typeof address === "object" ? (address?.port ?? 0) : 0, host === "::" ? "127.0.0.1" : host)
  client.on("error", () => {})
  const near = await socket
  t.teardown(() => {
    client.destroy()
    near.destroy()
    server.close()
  })
  return near
}

const SOCKADDR_IN = Buffer.from([2, 0, 0x01, 0xbb, 203, 0, 113, 7])
const SOCKADDR_IN6 = Buffer.from([10, 0, 0, 80, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, ...Array<number>(11).fill(0), 9])

test("the kernel's sockaddr is read, IPv4 on a socket of all addresses too", async (t) => {
  const asked: number[][] = []
  const transparent = await loadTransparent("linux", async () => (fd, level, option, value, length) => {
    asked.push([level, option, length[0] ?? 0])
    t.ok(fd > 2)
    return (level === 41 ? SOCKADDR_IN6 : SOCKADDR_IN).copy(value) * 0
  })
  if (transparent.kind !== "kernel") throw new Error(transparent.why)
  const { destinationOf } = transparent
  t.strictSame(destinationOf(await accepted(t, "127.0.0.1")), { host: "203.0.113.7", port: 443 })
  t.strictSame(destinationOf(await accepted(t, "::")), { host: "203.0.113.7", port: 443 })
  t.strictSame(asked, [
    [0, 80, 16],
    [0, 80, 16],
  ])
  t.strictSame(destinationOf(await accepted(t, "::1")), { host: "2001:db8::9", port: 80 })
  t.strictSame(asked.at(-1), [41, 80, 28])
})

test("nothing is known of a connection that was not redirected, or that is gone", async (t) => {
  for (const answer of [-1, 0]) {
    const transparent = await loadTransparent("linux", async () => () => answer)
    if (transparent.kind !== "kernel") throw new Error(transparent.why)
    t.equal(transparent.destinationOf(await accepted(t, "127.0.0.1")), undefined, "no answer, or an empty one")
    t.equal(transparent.destinationOf(new Socket()), undefined, "no descriptor")
  }
})

test("without a kernel that tells, or without koffi, names are what is left, and it says why", async (t) => {
  t.strictSame(await loadTransparent("darwin"), {
    kind: "names",
    why: "darwin does not tell where a connection was going",
  })
  const missing = () => Promise.reject(new Error("Cannot find package 'koffi'\nRequire stack: x"))
  t.strictSame(await loadTransparent("linux", missing), {
    kind: "names",
    why: "the optional package koffi cannot be loaded (Cannot find package 'koffi')",
  })
})

test("koffi itself asks the kernel", { skip: process.platform === "linux" ? false : "Linux only" }, async (t) => {
  const transparent = await loadTransparent()
  if (transparent.kind !== "kernel") {
    t.match(transparent.why, "koffi cannot be loaded")
    return
  }
  const socket = await accepted(t, "127.0.0.1")
  const own = { host: "127.0.0.1", port: socket.localPort }
  // With connection tracking, the kernel says of what nobody redirected that it was going where it is.
  t.ok([undefined, JSON.stringify(own)].includes(JSON.stringify(transparent.destinationOf(socket))))
})
