/**
 * Upstreams that send interim answers (1xx) for ever: what waits for a slow hook or a slow client is bounded.
 */
import { createServer, type Socket } from "node:net"
import { type Test, test } from "tap"
import type { LoadedAddon } from "../../../lib/loader/chain.ts"
import { call, openSession } from "../../helpers/clients/h2-client.ts"
import { block, END, FRAME, frame, startFrameOrigin, WHOLE } from "../../helpers/hosts/h2-origin.ts"
import { addon, gate, recorder, request, startHost, until } from "../../helpers/hosts/proxy-host.ts"
import { everythingTo } from "../../helpers/test-proxy.ts"

const EARLY = Buffer.from(`HTTP/1.1 103 Early Hints\r\nLink: <${"a".repeat(2_000)}>\r\n\r\n`)

/** Writes `piece` for as long as the other side reads it. */
function flood(socket: Socket, piece: Buffer): void {
  if (socket.destroyed) return
  const more = () => setImmediate(() => flood(socket, piece))
  if (socket.write(piece)) more()
  else socket.once("drain", more)
}

/** Answers the path /good, and floods any other request. */
async function http1Flood(t: Test): Promise<{ port: number; sockets: Socket[] }> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on("error", () => {})
    socket.on("data", (bytes: Buffer) => {
      if (bytes.includes("/good")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
      else flood(socket, EARLY)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return { port: typeof address === "object" && address !== null ? address.port : 0, sockets }
}

/** The first request is flooded, further ones are answered. */
function http2Flood(t: Test) {
  let floods = true
  return startFrameOrigin(t, (socket, stream) => {
    if (floods)
      flood(
        socket,
        frame(
          FRAME.headers,
          WHOLE,
          stream,
          block([
            [":status", "103"],
            ["link", "<a>"],
          ]),
        ),
      )
    else socket.write(frame(FRAME.headers, END | WHOLE, stream, block([[":status", "204"]])))
    floods = false
  })
}

/** A hook that never comes to an end by itself. */
function slow(t: Test): { readonly addon: LoadedAddon; calls(): number } {
  const { opened, open } = gate()
  t.teardown(open)
  let calls = 0
  const informational = () => {
    calls++
    return opened
  }
  return { addon: addon("slow", { informational }), calls: () => calls }
}

test("endless 1xx over HTTP/1.1 before a slow hook ends with 502, and its connection", async (t) => {
  const hook = slow(t)
  const seen = recorder(["response", "error"])
  const host = await startHost(t, { addons: [hook.addon, seen.addon] })
  const up = await http1Flood(t)
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  const answer = await wire.response()
  t.equal(answer.status, 502)
  t.match(answer.text, "sent more than 100 interim responses (1xx) and no answer; it was given up")
  await until(() => up.sockets.every(({ destroyed }) => destroyed))
  t.equal(hook.calls(), 1)
  t.strictSame(seen.events, ["error"])
  wire.write(request("GET", up.port, "/good"))
  t.equal((await wire.response()).text, "good")
})

test("hooks of interim answers do not run behind the end of their flow", async (t) => {
  const { opened, open } = gate()
  const events: string[] = []
  const late = addon("late", {
    informational: () => {
      events.push("informational")
      return opened
    },
    error: () => void events.push("error"),
  })
  const host = await startHost(t, { addons: [late] })
  const up = await http1Flood(t)
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  t.equal((await wire.response()).status, 502)
  open()
  wire.write(request("GET", up.port, "/good"))
  const next = await wire.response()
  t.equal(next.text, "good")
  t.equal(next.informational.length, 0, "nothing of the first answer's is left")
  await host.settled()
  t.strictSame(events, ["informational", "error"])
})

test("endless 1xx over HTTP/1.1 to a client that reads nothing ends as well", async (t) => {
  const host = await startHost(t)
  const up = await http1Flood(t)
  const wire = await host.connect()
  wire.socket.pause()
  wire.write(request("GET", up.port, "/"))
  await until(() => up.sockets.length === 1 && up.sockets.every(({ destroyed }) => destroyed))
  wire.socket.resume()
  const answer = await wire.response()
  t.equal(answer.informational.length, 100)
  t.equal(answer.status, 502)
})

test("endless 1xx over HTTP/2 ends with 502, and other requests are served", async (t) => {
  const hook = slow(t)
  const seen = recorder(["response", "error"])
  const up = await http2Flood(t)
  const host = await startHost(t, { addons: [hook.addon, seen.addon], settings: everythingTo(up) })
  const session = await openSession(t, `http://127.0.0.1:${host.port}`)
  const to = { ":path": "/", ":scheme": "http", ":authority": "x.test" }
  const answer = await call(session, to)
  t.equal(answer.status, 502)
  t.match(answer.text, "sent more than 100 interim responses")
  t.equal(hook.calls(), 1)
  t.strictSame(seen.events, ["error"])
  t.equal((await call(session, to)).status, 204)
  t.equal(up.connections.length, 1, "the flood has cost its stream alone")
})
