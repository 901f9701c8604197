/** The two ends of a test where what comes is no plain answer: resets, refusals, long bodies, requests at one time. */
import assert from "node:assert/strict"
import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"
import { test } from "tap"
import { loadAddon } from "../../lib/testing/load-addon.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
import { TestClient } from "../../lib/testing/test-client.ts"
import { TestUpstream } from "../../lib/testing/test-upstream.ts"
import { MASK_BYTES, TEXT, writeFrame } from "../../lib/websocket/frame.ts"

test("a reset in the middle of a body is a broken answer, and no error that nobody listens to", async (t) => {
  let peer: Socket | undefined
  const server = createServer((socket) => {
    peer = socket
    socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\n\r\nbegun"))
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const client = new TestClient({ port, gone: () => Promise.resolve() })
  const got = await client.request({ url: "/page", onPiece: () => peer?.resetAndDestroy() })
  assert.deepEqual([got.status, got.text], [200, "begun"])
  assert.notEqual(got.broken, undefined)
})

test("a WebSocket that is refused rejects once the last hook of its flow has run", async (t) => {
  let isOver = false
  const addon = await loadAddon({
    requestHeaders: (flow) => flow.respond({ status: 403, text: "not here" }),
    async response() {
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
      isOver = true
    },
  })
  t.teardown(() => addon.close())
  await assert.rejects(addon.websocket("wss://chat.example/room"), /no upgrade: 403 not here/)
  assert.equal(isOver, true)
})

test("a long body waits for its reader again and again, and leaves no listeners", async (t) => {
  const warnings: string[] = []
  const warned = ({ message }: Error) => void warnings.push(message)
  process.on("warning", warned)
  t.teardown(() => process.off("warning", warned))
  const addon = await loadAddon({ request: () => {} })
  t.teardown(() => addon.close())
  async function* body() {
    for (let piece = 0; piece < 20; piece++) yield Buffer.alloc(1_048_576)
  }
  addon.answer({ body: body() })
  assert.equal((await addon.request({ url: "http://any.example/" })).bytes.length, 20 * 1_048_576)
  assert.deepEqual(warnings, [])
})

test("requests at one time get answers of different ids", async (t) => {
  const addon = await loadAddon({ request: () => {} })
  t.teardown(() => addon.close())
  let open = () => {}
  const bothAsked = new Promise<void>((resolve) => {
    open = resolve
  })
  addon.answer(async () => {
    if (addon.asked.length === 2) open()
    await bothAsked
    return "Hello."
  })
  const answers = await Promise.all([addon.chat("one"), addon.chat("two")])
  assert.equal(new Set(answers.map(({ completion }) => completion?.id)).size, 2)
})

test("a message that comes in one piece with its upgrade is read", async (t) => {
  const upstream = await TestUpstream.start(new ManualClock())
  t.teardown(() => upstream.close())
  const came = new Promise((resolve) => {
    upstream.websocket = async (socket) => resolve(await socket.next())
  })
  const socket = connect(upstream.port, "127.0.0.1")
  t.teardown(() => socket.destroy())
  const fields = ["Host: any.example", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: a2V5"]
  const head = Buffer.from(`GET /room HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n`)
  socket.write(Buffer.concat([head, writeFrame(TEXT, Buffer.from("early"), Buffer.alloc(MASK_BYTES, 7))]))
  assert.equal(await came, "early")
})
