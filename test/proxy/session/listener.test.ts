/** Who comes before anybody serves, and where a port cannot be opened. */
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { type Test, test } from "tap"
import { makeLogger } from "../../../lib/base/log.ts"
import { Listener } from "../../../lib/proxy/session/listener.ts"

const silent = makeLogger(() => {}, "error")

async function listening(t: Test): Promise<Listener> {
  const listener = new Listener(silent)
  t.teardown(() => listener.close())
  await listener.listen("127.0.0.1", 0)
  return listener
}

/** Resolves when the listener has taken the client in: a handshake that is over is seen in the next turn of the loop. */
async function connected(t: Test, { address }: Listener): Promise<Socket> {
  const socket = connect(address.port, address.host)
  t.teardown(() => socket.destroy())
  await once(socket, "connect")
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
  return socket
}

test("clients that come early are kept with their bytes, and served in order before later ones", async (t) => {
  const listener = await listening(t)
  const early = [await connected(t, listener), await connected(t, listener)]
  for (const [index, socket] of early.entries()) socket.write(`early ${index}`)
  let served = 0
  const answered = (socket: Socket) => {
    const number = served++
    socket.once("data", (bytes) => socket.end(`${number}: ${bytes}`))
  }
  listener.serve(answered)
  const late = await connected(t, listener)
  late.write("late")
  const answers = await Promise.all([...early, late].map((socket) => once(socket, "data")))
  t.same(answers.map(String), ["0: early 0", "1: early 1", "2: late"])
})

test("a client that resets while it waits is not served, and ends nothing", async (t) => {
  const listener = await listening(t)
  const gone = await connected(t, listener)
  gone.resetAndDestroy()
  await once(gone, "close")
  const stays = await connected(t, listener)
  stays.write("here")
  const served: string[] = []
  await new Promise<void>((resolve) => {
    listener.serve((socket) => {
      socket.on("error", () => {})
      socket.once("data", (bytes) => {
        served.push(String(bytes))
        socket.end()
        resolve()
      })
    })
  })
  t.same(served, ["here"])
})

test("close() before anybody serves lets the waiting clients go", async (t) => {
  const listener = await listening(t)
  const socket = await connected(t, listener)
  const ended = once(socket.resume(), "close")
  listener.close()
  await ended
  const { host, port } = listener.address
  const refused = connect(port, host)
  t.match(await once(refused, "error"), [{ code: "ECONNREFUSED" }])
})

test("the address is there once it listens, and a port that is taken is told of in one line", async (t) => {
  const listener = await listening(t)
  const { host, port } = listener.address
  t.equal(host, "127.0.0.1")
  t.ok(port > 0)
  const other = new Listener(silent)
  t.throws(() => other.address, { message: "the listener has no address before it listens" })
  const message = `listen on 127.0.0.1:${port}: the port is in use; choose another with -p PORT, or stop what uses it`
  await t.rejects(other.listen(host, port), { name: "StartError", message })
})
