import assert from "node:assert/strict"
import type { Socket } from "node:net"
import zlib from "node:zlib"
import { test } from "tap"
import type { ChunkTransform, DeltaTransform } from "../../../lib/api/flow.ts"
import {
  addon,
  answer,
  chat,
  chatEvent,
  chunk,
  DONE,
  FINISH,
  gate,
  origin,
  recorder,
  request,
  SSE_HEAD,
  sseAnswer,
  startHost,
  until,
} from "../../helpers/hosts/proxy-host.ts"

const chunks = (...fns: ChunkTransform[]) =>
  addon("transforms", {
    responseHeaders(flow) {
      for (const fn of fns) flow.response?.transform(fn)
    },
  })
const deltas = (...fns: DeltaTransform[]) =>
  addon("transforms", {
    responseHeaders(flow) {
      for (const fn of fns) flow.response?.transformDeltas(fn)
    },
  })

async function* framed(pieces: AsyncIterable<Buffer>): AsyncIterable<Buffer | string> {
  yield "<"
  for await (const piece of pieces) yield piece
  yield ""
  yield new Uint8Array([0x3e]) as Buffer
}

test("plain functions and generators change chunks, in the order in which they were given", async (t) => {
  const upper = (piece: Buffer) => piece.toString().toUpperCase()
  const drop = (piece: Buffer) => (piece.includes("B") ? undefined : piece)
  const host = await startHost(t, { addons: [chunks(upper, drop, framed)] })
  const first = gate()
  const up = await origin(t, async (_, socket) => {
    const fields = "ETag: e\r\nContent-Digest: d\r\nX-A: b\r\n"
    socket.write(`HTTP/1.1 200 OK\r\n${fields}Content-Length: 3\r\n\r\na`)
    await first.opened
    socket.write("b", () => setImmediate(() => socket.write("c")))
  })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/"))
  await wire.until("A")
  first.open()
  const response = await wire.response()
  assert.match(response.text, /^<A(C)?>$/)
  for (const name of ["content-length", "etag", "content-digest"]) assert.equal(response.headers.has(name), false)
  assert.equal(response.headers.get("x-a"), "b")
})

test("transforms get decoded content, and trailers pass", async (t) => {
  for (const [coding, bytes] of [
    ["gzip", zlib.gzipSync("hello")],
    ["deflate", zlib.deflateSync("hello")],
    ["br", zlib.brotliCompressSync("hello")],
  ] as const) {
    const host = await startHost(t, { addons: [chunks((piece: Buffer) => `${piece.toString()}!`)] })
    const up = await origin(t, (_, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Encoding: ${coding}\r\nTransfer-Encoding: chunked\r\n\r\n`)
      socket.write(Buffer.concat([chunk(bytes), Buffer.from("0\r\nX-T: 1\r\n\r\n")]))
    })
    const wire = await host.connect()
    wire.write(request("GET", up.port, "/"))
    const response = await wire.response()
    assert.deepEqual([response.text, response.headers.has("content-encoding")], ["hello!", false])
    assert.equal(response.trailers?.get("x-t"), "1")
  }
})

test("a transform that throws, or makes what is no chunk, cuts the stream whatever onError says", async (t) => {
  const bad: [string, ChunkTransform, RegExp][] = [
    [
      "plain",
      () => {
        throw new Error("oops")
      },
      /a transform failed: oops/,
    ],
    [
      "generator",
      async function* () {
        yield "a"
        throw new Error("oops")
      },
      /a transform failed: oops/,
    ],
    [
      "an arrow that returns a generator",
      (piece: unknown) => framed(piece as never) as never,
      /type object; return a Buffer/,
    ],
    ["null", () => null as never, /it made null/],
  ]
  for (const [what, fn, message] of bad) {
    const seen = recorder(["response", "error"])
    const host = await startHost(t, { addons: [chunks(fn), seen.addon] })
    const up = await origin(t, (_, socket) => void socket.write(answer("hello")))
    const wire = await host.connect()
    wire.write(request("GET", up.port, "/"))
    await assert.rejects(wire.response(), what)
    await host.settled()
    assert.deepEqual(seen.events, ["error"], what)
    assert.equal(seen.flow().error?.code, "transform-failed")
    assert.match(seen.flow().error?.message ?? "", message)
  }
})

test("an unknown or broken coding under a transform is an error, never the bytes unchanged", async (t) => {
  const host = await startHost(t, { addons: [chunks((piece: Buffer) => piece)] })
  const up = await origin(t, ({ target }, socket) => {
    socket.write(
      answer(
        target === "/cut" ? zlib.gzipSync("hello").subarray(0, -4) : "hello",
        `Content-Encoding: ${target === "/cut" ? "gzip" : "compress"}\r\n`,
      ),
    )
  })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/unknown"))
  assert.equal((await wire.response()).status, 502)
  wire.write(request("GET", up.port, "/cut"))
  await assert.rejects(wire.response())
})

test("a client that does not read bounds what a generator is given, and its end is heard when the client leaves", async (t) => {
  let given = 0
  const ended = gate()
  async function* counts(pieces: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
    try {
      for await (const piece of pieces) {
        given += piece.length
        yield piece
      }
    } finally {
      ended.open()
    }
  }
  const host = await startHost(t, { addons: [chunks(counts)] })
  let sent: Socket | undefined
  const up = await origin(t, (_, socket) => {
    sent = socket
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    const more = () => {
      while (!socket.destroyed && socket.write(chunk("x".repeat(60_000)))) {}
    }
    socket.on("drain", more)
    more()
  })
  const wire = await host.connect()
  wire.socket.pause()
  wire.write(request("GET", up.port, "/"))
  for (let quiet = 0, before = -1; quiet < 300; ) {
    await new Promise((resolve) => setImmediate(resolve))
    quiet = given > 0 && given === before && sent?.writableNeedDrain === true ? quiet + 1 : 0
    before = given
  }
  assert.ok(given < 30_000_000, `${given} bytes were pulled`)
  wire.socket.resetAndDestroy()
  await ended.opened
  await host.settled()
})

test("transformDeltas: untouched events keep their bytes, changed ones are changed in place, dropped ones are gone", async (t) => {
  const seen = recorder(["llmDelta", "llmResponse"])
  const change: DeltaTransform = (delta) => {
    if (delta.type !== "text") return delta
    if (delta.text === "drop") return undefined
    if (delta.text === "twice") return [delta, { ...delta, text: "more" }]
    return delta.text === "old" ? { ...delta, text: "new" } : delta
  }
  const host = await startHost(t, { addons: [deltas(change, (delta) => delta), seen.addon] })
  const odd = chatEvent("kept").replace("data: ", "data:")
  const up = await origin(t, (_, socket) => {
    socket.write(sseAnswer(": hi\n\n", odd, chatEvent("old"), chatEvent("drop"), chatEvent("twice"), FINISH, DONE))
  })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  const { text } = await wire.response("POST")
  const expected = `: hi\n\n${odd}${chatEvent("new")}${chatEvent("twicemore")}${FINISH}${DONE}`
  assert.equal(text, expected)
  await host.settled()
  assert.deepEqual(seen.events, [
    "llmDelta kept",
    "llmDelta new",
    "llmDelta twicemore",
    "llmDelta finish",
    "llmResponse",
  ])
})

test("transformDeltas works without any LLM hook, and over a coding", async (t) => {
  const host = await startHost(t, {
    addons: [deltas((delta) => (delta.type === "text" ? { ...delta, text: delta.text.toUpperCase() } : delta))],
  })
  const events = chatEvent("a") + FINISH + DONE
  const fields = "Content-Type: text/event-stream\r\nContent-Encoding: br\r\n"
  const up = await origin(t, (_, socket) => void socket.write(answer(zlib.brotliCompressSync(events), fields)))
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  const { text } = await wire.response("POST")
  assert.match(text, /"content":"A"/)
  assert.ok(text.endsWith(FINISH + DONE))
})

test("a usage that is changed is changed where it stands, with or without an end mark", async (t) => {
  const usage = chatEvent("", { choices: [], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } })
  for (const mark of [DONE, ""]) {
    const doubles: DeltaTransform = (delta) =>
      delta.type === "usage" ? { type: "usage", usage: { ...delta.usage, outputTokens: 9, totalTokens: 10 } } : delta
    // Whether the client asked for usage is known where the request was read.
    const host = await startHost(t, { addons: [deltas(doubles), recorder(["llmRequest"]).addon] })
    const up = await origin(
      t,
      (_, socket) => void socket.write(sseAnswer(...[chatEvent("a"), FINISH, usage, mark].filter(Boolean))),
    )
    const wire = await host.connect()
    wire.write(chat(up.port, { stream: true, stream_options: { include_usage: true } }))
    const { text } = await wire.response("POST")
    const changed = usage.replace('"completion_tokens":1,"total_tokens":2', '"completion_tokens":9,"total_tokens":10')
    assert.equal(text, chatEvent("a") + FINISH + changed + mark)
  }
})

test("an edit of the chunk that carries usage loses no usage, asked for or not", async (t) => {
  const upper: DeltaTransform = (delta) =>
    delta.type === "text" ? { ...delta, text: delta.text.toUpperCase() } : delta
  const host = await startHost(t, { addons: [deltas(upper)] })
  const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }
  const up = await origin(t, (_, socket) => void socket.write(sseAnswer(chatEvent("a", { usage }), FINISH, DONE)))
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  const { text } = await wire.response("POST")
  assert.match(text, /"content":"A"/)
  assert.match(text, /"usage":\{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7\}/)
})

const REDACTS: DeltaTransform = (delta) =>
  delta.type === "text" ? { ...delta, text: delta.text.replaceAll("secret", "***") } : delta

test("transformDeltas edits an answer that is one JSON body in place: what was not edited keeps its bytes", async (t) => {
  const host = await startHost(t, { addons: [deltas(REDACTS)] })
  const body = `{ "choices" : [ {"index":0, "message":{"role":"assistant","content":"a secret","annotations":[{"url":"u"}]},
    "logprobs":null,"finish_reason":"stop"}],  "system_fingerprint":"fp_1","usage":{"prompt_tokens":1,"completion_tokens":2} }`
  const up = await origin(t, (_, socket) => void socket.write(answer(body, "Content-Type: application/json\r\n")))
  const wire = await host.connect()
  wire.write(chat(up.port))
  assert.equal((await wire.response("POST")).text, body.replace("a secret", "a ***"))
})

test("a whole answer that a transform cannot read fails with 502 in the dialect, and never passes", async (t) => {
  const host = await startHost(t, { addons: [deltas(REDACTS)], settings: { bodyLimit: 4_096 } })
  const bodies = ["a secret", '{"secret":1}', `{"choices":[{"message":{"content":"secret ${"x".repeat(5_000)}"}}]}`, ""]
  for (const body of bodies) {
    const up = await origin(t, (_, socket) => void socket.write(answer(body, "Content-Type: application/json\r\n")))
    const wire = await host.connect()
    wire.write(chat(up.port))
    const { status, text } = await wire.response("POST")
    assert.equal(status, 502, body.slice(0, 20))
    assert.doesNotMatch(text, /secret/)
    assert.equal(typeof JSON.parse(text).error.message, "string")
  }
})

test("transformDeltas leaves errors and other flows alone, and a throw cuts", async (t) => {
  const host = await startHost(t, {
    addons: [
      deltas(() => {
        throw new Error("oops")
      }),
    ],
  })
  const up = await origin(t, ({ target }, socket) => {
    if (target === "/plain") socket.write(sseAnswer(chatEvent("a")))
    else
      socket.write(
        target.includes("err")
          ? answer("no", "Content-Type: text/event-stream\r\n", "500 No")
          : sseAnswer(chatEvent("a"), DONE),
      )
  })
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/plain"))
  assert.equal((await wire.response()).text, chatEvent("a"))
  wire.write(request("POST", up.port, "/err/chat/completions", '{"stream":true,"messages":[]}'))
  assert.equal((await wire.response("POST")).text, "no")
  wire.write(chat(up.port, { stream: true }))
  await assert.rejects(wire.response("POST"))
})

const CODERS: [string, () => zlib.Gzip | zlib.Deflate | zlib.BrotliCompress, number][] = [
  ["gzip", () => zlib.createGzip(), zlib.constants.Z_SYNC_FLUSH],
  ["deflate", () => zlib.createDeflate(), zlib.constants.Z_SYNC_FLUSH],
  ["br", () => zlib.createBrotliCompress(), zlib.constants.BROTLI_OPERATION_FLUSH],
]
const zstd: unknown = Reflect.get(zlib, "createZstdCompress")
if (typeof zstd === "function") {
  const flush: unknown = Reflect.get(zlib.constants, "ZSTD_e_flush")
  CODERS.push(["zstd", () => Reflect.apply(zstd, zlib, []) as zlib.Gzip, typeof flush === "number" ? flush : 1])
}

for (const [coding, create, flush] of CODERS) {
  for (const transforming of [false, true]) {
    test(`${coding} SSE is ${transforming ? "transformed" : "observed"} event by event, before the next one is sent`, async (t) => {
      const seen = recorder(["llmDelta", "llmResponse"])
      const addons = transforming ? [deltas((delta) => delta), seen.addon] : [seen.addon]
      const host = await startHost(t, { addons })
      const coder = create()
      const pieces: Buffer[] = []
      coder.on("data", (piece: Buffer) => pieces.push(piece))
      const encode = async (text: string) => {
        coder.write(text)
        await new Promise<void>((resolve) => coder.flush(flush, () => resolve()))
        return Buffer.concat(pieces.splice(0))
      }
      const sent: Buffer[] = []
      const up = await origin(t, async (_, socket) => {
        socket.write(SSE_HEAD.replace("\r\n\r\n", `\r\nContent-Encoding: ${coding}\r\nETag: e\r\n\r\n`))
        for (let index = 0; index < 20; index++) {
          const bytes = await encode(chatEvent(`t${index}`))
          sent.push(bytes)
          socket.write(chunk(bytes))
          await until(() => seen.events.length === index + 1)
        }
        coder.end(FINISH + DONE)
        await new Promise((resolve) => coder.once("end", resolve))
        const last = Buffer.concat(pieces)
        sent.push(last)
        socket.write(Buffer.concat([chunk(last), Buffer.from("0\r\n\r\n")]))
      })
      const wire = await host.connect()
      wire.write(chat(up.port, { stream: true }, `Accept-Encoding: ${coding}, x\r\n`))
      const response = await wire.response("POST")
      await host.settled()
      assert.match(up.requests[0]?.head ?? "", new RegExp(`Accept-Encoding: ${coding}, x`))
      assert.equal(seen.events.at(-1), "llmResponse")
      assert.equal(seen.flow().llm?.completion?.finishReason.unified, "stop")
      if (!transforming) assert.deepEqual(response.body, Buffer.concat(sent))
      else
        assert.equal(
          response.text,
          [...Array(20).keys()].map((index) => chatEvent(`t${index}`)).join("") + FINISH + DONE,
        )
      assert.equal(response.headers.get("content-encoding"), transforming ? undefined : coding)
      assert.equal(response.headers.get("etag"), transforming ? undefined : "e")
    })
  }
}

test("a transform ends an answer: what it made last is sent with the end mark, and the upstream is stopped", async (t) => {
  const seen = recorder(["llmResponse", "response", "error"])
  const enough = addon("enough", {
    responseHeaders: (flow) =>
      flow.response?.transformDeltas((delta, end) => {
        if (delta.type !== "text" || delta.text !== "stop") return delta
        end()
        return [delta, { type: "finish", index: 0, reason: { unified: "length", raw: "length" } }]
      }),
  })
  const host = await startHost(t, { addons: [enough, seen.addon] })
  const up = await origin(t, (_, socket) => {
    // It would go on for ever.
    socket.write(
      Buffer.concat([Buffer.from(SSE_HEAD), ...["kept", "stop", "never"].map((one) => chunk(chatEvent(one)))]),
    )
  })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  const { text } = await wire.response("POST")
  await host.settled()
  assert.ok(text.startsWith(chatEvent("kept")), "what was not touched keeps its bytes")
  assert.match(text, /"content":"stop".*"finish_reason":"length"[^\n]*\n\ndata: \[DONE\]\n\n$/s)
  assert.doesNotMatch(text, /never/)
  assert.deepEqual(seen.events, ["llmResponse", "response"])
  assert.equal(seen.flow().llm?.completion?.finishReason.unified, "length")
  await until(() => up.open === 0)
})

test("a transform that waits for what never comes ends with its client, and the flow has one end", async (t) => {
  const stuck = async function* (pieces: AsyncIterable<Buffer>) {
    for await (const piece of pieces) {
      yield piece
      await new Promise(() => {})
    }
  }
  const before = async function* () {
    await new Promise(() => {})
    yield ""
  }
  for (const [fn, waits] of [
    [stuck, "data: "],
    [before, undefined],
  ] as const) {
    const seen = recorder(["response", "error"])
    const host = await startHost(t, { addons: [chunks(fn), deltas((delta) => delta), seen.addon] })
    const up = await origin(
      t,
      (_, socket) => void socket.write(sseAnswer(chatEvent("a"), chatEvent("b"), FINISH, DONE)),
    )
    const wire = await host.connect()
    wire.write(chat(up.port, { stream: true }))
    if (waits !== undefined) await wire.until(waits)
    else await until(() => up.requests.length === 1)
    wire.socket.destroy()
    await host.settled()
    t.strictSame(seen.events.filter((event) => event === "response" || event === "error").length, 1)
  }
})
