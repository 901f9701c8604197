/** Bodies of served requests: both ways as streams, within bounds, and what a client that leaves ends. */
import type { ClientHttp2Stream } from "node:http2"
import { test } from "tap"
import type { AddonContext } from "../../lib/api/addon.ts"
import type { ServeHandler } from "../../lib/api/serve.ts"
import { answerOf, call, openSession } from "../helpers/clients/h2-client.ts"
import { eventually } from "../helpers/test-proxy.ts"
import { Wire } from "../helpers/wire/wire.ts"
import { rig } from "./serve-rig.ts"

/** One route for all methods at /x. */
function at(handler: ServeHandler) {
  return ({ serve }: Pick<AddonContext, "serve">) => serve({ method: "*", path: "/x", access: "open" }, handler)
}

const POST = "POST /x HTTP/1.1\r\nHost: localhost\r\n"

test("what a client sends is read as it comes, and answered before it has ended", async (t) => {
  const { port } = await rig(
    t,
    at(({ body }) => new Response(body)),
  )
  const wire = await Wire.connect(port)
  wire.write(`${POST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`)
  await wire.until("hello")
  wire.write("3\r\nyou\r\n0\r\n\r\n")
  t.match(await wire.response("POST"), { status: 200, text: "helloyou" })
  wire.write(`${POST}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n`)
  await wire.until("100 Continue")
  wire.write("ok")
  t.match(await wire.response("POST"), { text: "ok" }, "the connection serves on")
  wire.end()
  const session = await openSession(t, `http://127.0.0.1:${port}`)
  const stream = session.request({ ":path": "/x", ":method": "POST" })
  const whole = answerOf(stream)
  stream.write("hello")
  await new Promise((resolve) => stream.once("data", resolve))
  stream.end("you")
  t.match(await whole, { status: 200, text: "helloyou", code: 0 })
})

test("a body beyond bodyLimit is 413, told by its length or found out, and no failure of the addon's", async (t) => {
  let calls = 0
  const { port, protocols, lines } = await rig(
    t,
    at(async (request) => {
      calls++
      return new Response(await request.text())
    }),
    { flags: { bodyLimit: 8 } },
  )
  for (const [name, ask] of protocols) {
    t.equal((await ask({ method: "POST", path: "/x", body: "12345678" })).text, "12345678", name)
    const refused = await ask({ method: "POST", path: "/x", body: "123456789", headers: { "Content-Length": "9" } })
    t.same([refused.status, refused.text], [413, "llmproxy: the body exceeds the 8 bytes of --body-limit\n"], name)
  }
  t.equal(calls, 2)
  const wire = await Wire.connect(port)
  wire.write(`${POST}Transfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n`)
  t.equal((await wire.response("POST")).status, 413)
  const session = await openSession(t, `http://127.0.0.1:${port}`)
  t.equal((await call(session, { ":path": "/x", ":method": "POST" }, "123456789")).status, 413)
  t.same(lines, [])
})

/** Gives pieces for as long as somebody takes them. */
function endless() {
  const seen = { pulls: 0, cancelled: false, aborted: false }
  const handler: ServeHandler = (request, { signal }) => {
    signal.addEventListener("abort", () => {
      seen.aborted = request.signal.aborted
    })
    return new Response(
      new ReadableStream({
        pull(controller) {
          seen.pulls++
          controller.enqueue(new Uint8Array(65_536))
        },
        cancel() {
          seen.cancelled = true
        },
      }),
    )
  }
  return { seen, handler }
}

test("an answer is read as fast as its client takes it, and cancelled when the client leaves", async (t) => {
  const { seen, handler } = endless()
  const { port } = await rig(t, at(handler))
  const clients: Record<string, () => Promise<() => void>> = {
    "HTTP/1.1": async () => {
      const wire = await Wire.connect(port)
      wire.socket.pause()
      wire.write("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
      return () => wire.reset()
    },
    "HTTP/2": async () => {
      const session = await openSession(t, `http://127.0.0.1:${port}`)
      const stream: ClientHttp2Stream = session.request({ ":path": "/x" })
      stream.on("error", () => {})
      stream.pause()
      return () => stream.close(8)
    },
  }
  for (const [name, begin] of Object.entries(clients)) {
    Object.assign(seen, { pulls: 0, cancelled: false, aborted: false })
    const leave = await begin()
    await eventually(() => seen.pulls > 0)
    // As many turns as it takes until nothing is pulled any more: a source that is not held back never rests.
    for (let rest = 0, before = 0; rest < 200 && seen.pulls < 2_000; rest++, before = seen.pulls) {
      await new Promise((resolve) => setImmediate(resolve))
      if (seen.pulls !== before) rest = 0
    }
    t.ok(seen.pulls < 2_000, `${name}: ${seen.pulls} pieces of 64 KiB, then it waits`)
    leave()
    await eventually(() => seen.cancelled)
    t.ok(seen.aborted, `${name}: both signals`)
  }
})

test("a client that leaves before the answer aborts both signals; nobody is told of a failure", async (t) => {
  const left: string[] = []
  const late = { cancelled: 0 }
  const { port, lines } = await rig(
    t,
    at(async (request, { signal }) => {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()))
      left.push(`${request.signal.aborted}`)
      if (left.length === 1) throw new Error("what was left to do has failed")
      return new Response(new ReadableStream({ cancel: () => void late.cancelled++ }))
    }),
  )
  const session = await openSession(t, `http://127.0.0.1:${port}`)
  const leaving: (() => void)[] = []
  const wire = await Wire.connect(port)
  wire.write(`${POST}Content-Length: 5\r\n\r\nab`)
  leaving.push(() => wire.reset())
  const stream = session.request({ ":path": "/x" })
  stream.on("error", () => {})
  await call(session, { ":path": "/.llmproxy/" }) // The request before it has arrived, then.
  leaving.push(() => stream.close(8))
  for (const leave of leaving) leave()
  await eventually(() => left.length === 2 && late.cancelled === 1)
  t.same([left, lines], [["true", "true"], []])
})

test("an answer that breaks off, or is not as long as it says, is a cut and a line in the log", async (t) => {
  const bodies: Record<string, () => Response> = {
    breaks: () =>
      new Response(
        new ReadableStream({
          start: (controller) => controller.enqueue(new TextEncoder().encode("begun")),
          pull: () => Promise.reject(new Error("the source broke")),
        }),
      ),
    text: () => {
      const strings: ReadableStream = new ReadableStream({ pull: (controller) => controller.enqueue("a string") })
      return new Response(strings)
    },
    short: () => new Response("begun", { headers: { "content-length": "9" } }),
    long: () => new Response("begun", { headers: { "content-length": "2" } }),
  }
  const { port, lines } = await rig(t, ({ serve }) => {
    for (const [path, handler] of Object.entries(bodies))
      serve({ method: "GET", path: `/${path}`, access: "open" }, handler)
  })
  const session = await openSession(t, `http://127.0.0.1:${port}`)
  for (const path of Object.keys(bodies)) {
    lines.splice(0)
    const wire = await Wire.connect(port)
    wire.write(`GET /${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    await t.rejects(wire.response(), `${path}: a cut`)
    t.equal((await call(session, { ":path": `/${path}` })).code, 2, `${path}: a reset`)
    t.equal(lines.length, 2, path)
    t.match(lines[0], new RegExp(`^error addon "panel": serve GET /${path} failed: the `))
  }
})
