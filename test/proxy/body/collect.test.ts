/** A body that an addon reads whole: nobody's time runs while it is on its way, and no byte of it is ever lost. */
import { createServer } from "node:net"
import { type Test, test } from "tap"
import type { Answer, Flow } from "../../../lib/api/flow.ts"
import {
  addon,
  answer,
  CHAT,
  chat,
  chatEvent,
  chunk,
  DONE,
  gate,
  LAST,
  origin,
  SSE_HEAD,
  startHost,
  until,
} from "../../helpers/hosts/proxy-host.ts"

/** More than a hook's time, less than any other limit. */
const LONG_MS = 8_000

const FRAMINGS = [
  ["Content-Length: 10", ["hello", "world"], ""],
  ["Transfer-Encoding: chunked", ["5\r\nhello\r\n", "5\r\nworld\r\n"], LAST],
] as const

function post(port: number, field: string, path = "/up"): string {
  return `POST http://127.0.0.1:${port}${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${field}\r\n\r\n`
}

test("a slow upload is collected whole, and the hook's time stands still meanwhile", async (t) => {
  for (const hook of ["requestHeaders", "request"] as const) {
    for (const [field, [first, second], end] of FRAMINGS) {
      const seen: string[] = []
      const collects = addon("collects", {
        async [hook](flow: Flow) {
          seen.push("begun")
          await flow.request.collect()
          seen.push(flow.request.text)
        },
      })
      const host = await startHost(t, { addons: [collects] })
      const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
      const wire = await host.connect()
      wire.write(post(up.port, field) + first)
      await until(() => seen.length === 1)
      await new Promise((resolve) => setImmediate(resolve))
      host.clock.advance(LONG_MS)
      wire.write(second + end)
      t.equal((await wire.response("POST")).text, "ok", `${hook} ${field}`)
      t.equal(String(up.requests[0]?.body), "helloworld")
      t.strictSame(seen, ["begun", "helloworld"])
      t.notMatch(host.lines.join("\n"), /took more than/)
    }
  }
})

test("what a hook had begun to collect leaves although the hook failed, and the rest behind it", async (t) => {
  for (const [field, [first, second], end] of FRAMINGS) {
    const fails = addon("fails", {
      async requestHeaders(flow: Flow) {
        flow.request.collect().catch(() => {})
        for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
        throw new Error("gives up")
      },
    })
    const host = await startHost(t, { addons: [fails] })
    const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
    const wire = await host.connect()
    wire.write(post(up.port, field) + first)
    await until(() => host.lines.some((line) => line.includes("gives up")))
    wire.write(second + end)
    t.equal((await wire.response("POST")).text, "ok", field)
    t.equal(String(up.requests[0]?.body), "helloworld", field)
  }
})

test("a body that is on its way cannot be collected any more, and the upstream gets all of it", async (t) => {
  for (const [field, [first, second], end] of FRAMINGS) {
    const errors: string[] = []
    const late = addon("late", {
      async responseHeaders(flow: Flow) {
        await flow.request.collect().catch((thrown: unknown) => errors.push(String(thrown)))
      },
    })
    const host = await startHost(t, { addons: [late] })
    const port = await answersHeadAtOnce(t, first + second + end)
    const wire = await host.connect()
    wire.write(post(port, field) + first)
    await until(() => errors.length === 1)
    t.match(errors, [/is on its way to the upstream: await flow\.request\.collect\(\) in requestHeaders or request/])
    wire.write(second + end)
    t.equal((await wire.response("POST")).text, "ok", field)
  }
})

/** An upstream that answers a request's head with its own, and the whole of it, which ends in `whole`, with the body. */
async function answersHeadAtOnce(t: Test, whole: string): Promise<number> {
  const server = createServer((socket) => {
    let text = ""
    socket.on("error", () => {})
    socket.on("data", (bytes) => {
      if (text === "") socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
      text += bytes.toString("latin1")
      if (text.endsWith(`\r\n\r\n${whole}`)) socket.write("ok")
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => server.close())
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

test("a slow answer is collected whole, and the addon's text leaves in its place", async (t) => {
  const { opened, open } = gate()
  let asked = false
  const redacts = addon("redacts", {
    async responseHeaders(flow: Flow) {
      const { response } = flow
      asked = true
      await response?.collect()
      if (response !== undefined) response.text = response.text.replace("secret", "***")
    },
  })
  const host = await startHost(t, { addons: [redacts] })
  const up = await origin(t, async (_, socket) => {
    const whole = answer("a secret")
    socket.write(whole.subarray(0, -3))
    await opened
    socket.write(whole.subarray(-3))
  })
  const wire = await host.connect()
  wire.write(`GET http://127.0.0.1:${up.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  await until(() => asked)
  await new Promise((resolve) => setImmediate(resolve))
  host.clock.advance(LONG_MS)
  open()
  t.equal((await wire.response()).text, "a ***")
  t.notMatch(host.lines.join("\n"), /took more than/)
})

test("what a hook had begun to collect of an answer is delivered although the hook failed", async (t) => {
  const { opened, open } = gate()
  const fails = addon("fails", {
    async responseHeaders(flow: Flow) {
      flow.response?.collect().catch(() => {})
      flow.response?.collect().catch(() => {}) // Whoever asks again gets the same.
      await new Promise((resolve) => setImmediate(resolve))
      throw new Error("gives up")
    },
  })
  const host = await startHost(t, { addons: [fails] })
  const up = await origin(t, async (_, socket) => {
    const whole = answer("hello world")
    socket.write(whole.subarray(0, -5))
    await opened
    socket.write(whole.subarray(-5))
  })
  const wire = await host.connect()
  wire.write(`GET http://127.0.0.1:${up.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  await until(() => host.lines.some((line) => line.includes("gives up")))
  open()
  t.equal((await wire.response()).text, "hello world")
})

test("a hook's time stands still while it reads an answer that it has sent for", async (t) => {
  const READS: [string, (answer: Answer) => Promise<unknown>, string][] = [
    ["completion", async (sent) => (await sent.completion()).text, "ab"],
    ["text", (sent) => sent.text(), chatEvent("a") + chatEvent("b") + DONE],
    [
      "deltas",
      async (sent) => {
        const texts: string[] = []
        for await (const delta of sent.deltas()) if (delta.type === "text") texts.push(delta.text)
        return texts.join("")
      },
      "ab",
    ],
  ]
  for (const [name, read, expected] of READS) {
    const { opened, open } = gate()
    const up = await origin(t, async (_, socket) => {
      socket.write(SSE_HEAD)
      socket.write(chunk(chatEvent("a")))
      await opened
      socket.write(Buffer.concat([chunk(chatEvent("b")), chunk(DONE), Buffer.from(LAST)]))
    })
    let reading = false
    const asks = addon("asks", {
      async llmRequest(flow: Flow) {
        const url = `http://127.0.0.1:${up.port}${CHAT}`
        const sent = await flow.send({ json: { model: "m", messages: [], stream: true } }, { url })
        reading = true
        flow.respond({ json: { got: String(await read(sent)) } })
      },
    })
    const host = await startHost(t, { addons: [asks] })
    const wire = await host.connect()
    wire.write(chat(up.port))
    await until(() => reading)
    await new Promise((resolve) => setImmediate(resolve))
    host.clock.advance(LONG_MS)
    open()
    t.strictSame(JSON.parse((await wire.response("POST")).text), { got: expected }, name)
    t.notMatch(host.lines.join("\n"), /took more than/, name)
  }
})
