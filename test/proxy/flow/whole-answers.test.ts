/**
 * The end of the answer is not the end of its bytes: once its last word has been written to the client the flow is
 * whole, whoever leaves then, over both protocols and whatever else happens to the answer on its way.
 */
import type { Socket } from "node:net"
import { constants, createGzip, gzipSync } from "node:zlib"
import { test } from "tap"
import type { Answer, Flow } from "../../../lib/api/flow.ts"
import type { LoadedAddon } from "../../../lib/loader/chain.ts"
import { openSession } from "../../helpers/clients/h2-client.ts"
import {
  addon,
  answer,
  CHAT,
  chat,
  chatEvent,
  chatJson,
  chunk,
  DONE,
  FINISH,
  gate,
  origin,
  type ProxyHost,
  SSE_HEAD,
  startHost,
  until,
} from "../../helpers/hosts/proxy-host.ts"
import { everythingTo } from "../../helpers/test-proxy.ts"

const GZIP_SSE = SSE_HEAD.replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n")

/** What is told of each flow: how its answer ended, and which last hook fired. */
function listener(name: string, slow: Promise<void> = Promise.resolve()): { events: string[]; addon: LoadedAddon } {
  const events: string[] = []
  const hooks = {
    async llmResponse(flow: Flow, { text, finishReason }: { text: string; finishReason: { unified: string } }) {
      await slow
      events.push(`${flow.parent === undefined ? "" : "child "}${text.length} ${finishReason.unified}`)
    },
    response: (flow: Flow) => void events.push(flow.parent === undefined ? "response" : "child response"),
    error: (_: Flow, { code }: { code: string }) => void events.push(`error ${code}`),
  }
  return { events, addon: addon(name, hooks) }
}

/** Asks over one of the protocols, and leaves when what has come includes `last`. */
async function leaveAt(t: Parameters<typeof startHost>[0], host: ProxyHost, protocol: string, last: string) {
  const body = JSON.stringify({ model: "m", messages: [], stream: true })
  if (protocol === "HTTP/1.1") {
    const wire = await host.connect()
    wire.write(chat(9, { stream: true }))
    await wire.until(last)
    wire.socket.destroy()
    return
  }
  const session = await openSession(t, `http://127.0.0.1:${host.port}`)
  const fields = { ":method": "POST", ":path": CHAT, ":authority": "other.test", ":scheme": "http" }
  const stream = session.request({ ...fields, "content-type": "application/json" })
  stream.on("error", () => {}) // It is we who close it.
  stream.end(body)
  let seen = ""
  await new Promise<void>((resolve) => {
    stream.on("data", (bytes: Buffer) => {
      seen += bytes.toString("latin1")
      if (seen.includes(last)) resolve()
    })
  })
  stream.close(8)
}

/** Ways in which an answer may pass: nothing but observed, kept, and through each kind of transform. */
const WAYS: Record<string, (flow: Flow) => void> = {
  observed: () => {},
  kept: (flow) => flow.response?.keep(1_000_000),
  "plain transform": (flow) => flow.response?.transform((bytes: Buffer) => bytes),
  "generator transform": (flow) =>
    flow.response?.transform(async function* (chunks: AsyncIterable<Buffer>) {
      yield* chunks
    }),
  "delta transform": (flow) => flow.response?.transformDeltas((delta) => delta),
}

const PROTOCOLS = ["HTTP/1.1", "HTTP/2"]

test("a client that leaves on the end mark has had a whole answer, and the upstream is stopped", async (t) => {
  for (const protocol of PROTOCOLS) {
    for (const [way, prepare] of Object.entries(WAYS)) {
      for (const coding of ["identity", "gzip"]) {
        // A transform makes identity of what it gets; else the client sees compressed bytes, and has no mark to see.
        const last = coding === "gzip" && (way === "observed" || way === "kept") ? "\u0000\u0000\u00ff\u00ff" : "[DONE]"
        const { opened, open } = gate()
        const watch = listener("watch", opened)
        const up = await origin(t, (_, socket) => {
          const events = chatEvent("ab") + FINISH + DONE
          if (coding === "identity") socket.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(events)]))
          else void writeFlushed(socket, events)
        })
        const prepares = addon("prepares", { responseHeaders: prepare })
        const host = await startHost(t, { addons: [prepares, watch.addon], settings: everythingTo(up) })
        await leaveAt(t, host, protocol, last)
        await until(() => up.open === 0)
        open()
        await host.settled()
        t.strictSame(watch.events, ["2 stop", "response"], `${protocol} ${way} ${coding}`)
      }
    }
  }
})

/** A compressed stream that is flushed and not ended: what hosts do whose connection stays open. */
async function writeFlushed(socket: Socket, text: string): Promise<void> {
  const gzip = createGzip()
  const pieces: Buffer[] = []
  gzip.on("data", (piece: Buffer) => pieces.push(piece))
  gzip.write(text)
  await new Promise<void>((resolve) => gzip.flush(constants.Z_SYNC_FLUSH, () => resolve()))
  socket.write(Buffer.concat([Buffer.from(GZIP_SSE), chunk(Buffer.concat(pieces))]))
}

test("a compressed JSON answer with a length is whole for a client that closes on its last byte", async (t) => {
  const text = Array.from({ length: 200_000 }, (_, index) => String.fromCharCode(97 + ((index * index) % 26))).join("")
  const body = gzipSync(JSON.stringify(chatJson(text)))
  for (const protocol of PROTOCOLS) {
    for (const way of ["observed", "kept"]) {
      const watch = listener("watch")
      const fields = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"
      const up = await origin(t, (_, socket) => void socket.write(answer(body, fields)))
      const prepares = addon("prepares", { responseHeaders: WAYS[way] ?? (() => {}) })
      const host = await startHost(t, { addons: [prepares, watch.addon], settings: everythingTo(up) })
      await leaveAt(t, host, protocol, body.subarray(-8).toString("latin1"))
      await host.settled()
      t.strictSame(watch.events, [`${text.length} stop`, "response"], `${protocol} ${way}`)
    }
  }
})

test("a JSON answer in chunks is whole with its last byte, whatever of its framing is missing", async (t) => {
  for (const protocol of PROTOCOLS) {
    const watch = listener("watch")
    const up = await origin(t, (_, socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
      socket.write(chunk(JSON.stringify(chatJson("abc", { last: "end" }))))
    })
    const host = await startHost(t, { addons: [watch.addon], settings: everythingTo(up) })
    await leaveAt(t, host, protocol, '"end"}')
    await host.settled()
    t.strictSame(watch.events, ["3 stop", "response"], protocol)
  }
})

test("a client that leaves before the end mark has left a cut answer", async (t) => {
  for (const protocol of PROTOCOLS) {
    for (const [way, prepare] of Object.entries(WAYS)) {
      const watch = listener("watch")
      const up = await origin(t, (_, socket) => {
        socket.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("ab") + FINISH)]))
      })
      const prepares = addon("prepares", { responseHeaders: prepare })
      const host = await startHost(t, { addons: [prepares, watch.addon], settings: everythingTo(up) })
      await leaveAt(t, host, protocol, '"stop"')
      await until(() => up.open === 0)
      await host.settled()
      t.strictSame(watch.events, ["2 cut", "error client-gone"], `${protocol} ${way}`)
    }
  }
})

test("an upstream that breaks off behind its end mark leaves a whole flow, and a client that sees the cut", async (t) => {
  const watch = listener("watch")
  const up = await origin(t, (_, socket) => {
    socket.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("ab") + FINISH + DONE)]), () => socket.destroy())
  })
  const host = await startHost(t, { addons: [watch.addon] })
  const wire = await host.connect()
  wire.write(chat(up.port, { stream: true }))
  await wire.ended
  t.match(wire.all, /\[DONE\]/)
  t.notMatch(wire.all, /\r\n0\r\n\r\n/)
  await host.settled()
  t.strictSame(watch.events, ["2 stop", "response"])
})

test("an answer that was sent for is whole behind its end mark as well: for its flow, its reader and its client", async (t) => {
  for (const ending of ["client leaves", "upstream breaks"]) {
    const watch = listener("watch")
    const up = await origin(t, (_, socket) => {
      const bytes = Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("ab") + FINISH + DONE)])
      socket.write(bytes, () => void (ending === "upstream breaks" && socket.destroy()))
    })
    let failure: Answer["failure"]
    const asks = addon("asks", {
      async llmRequest(flow) {
        const url = `http://127.0.0.1:${up.port}${CHAT}`
        const sent = await flow.send({ json: { model: "m", messages: [], stream: true } }, { url })
        flow.respond(sent)
        if (ending !== "upstream breaks") return
        await sent.completion()
        failure = sent.failure
      },
    })
    const host = await startHost(t, { addons: [watch.addon, asks] })
    await leaveAt(t, host, "HTTP/1.1", "[DONE]")
    await host.settled()
    t.equal(failure, undefined)
    t.strictSame(watch.events.toSorted(), ["2 stop", "child 2 stop", "child response", "response"], ending)
  }
})

test("an answer whose reader stops while its last piece waits to be read is whole", async (t) => {
  const { opened, open } = gate()
  const watch = listener("watch")
  const seen: number[] = []
  const deltas = addon("deltas", {
    llmDelta: (_, delta) => void (delta.type === "text" && seen.push(delta.text.length)),
  })
  const up = await origin(t, async (_, socket) => {
    socket.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(chatEvent("a"))]))
    await opened
    socket.write(chunk(chatEvent("b".repeat(60_000))))
    await until(() => seen.includes(60_000))
    socket.write(chunk(chatEvent("c".repeat(8_000)) + FINISH + DONE))
  })
  const asks = addon("asks", {
    async request(flow) {
      const url = `http://127.0.0.1:${up.port}${CHAT}`
      const sent = await flow.send({ json: { model: "m", messages: [], stream: true } }, { url })
      open()
      await until(() => seen.includes(8_000))
      sent.abort()
      flow.respond({ text: "enough" })
    },
  })
  const host = await startHost(t, { addons: [deltas, watch.addon, asks] })
  const wire = await host.connect()
  wire.write(`GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  t.equal((await wire.response()).text, "enough")
  await host.settled()
  t.strictSame(watch.events.toSorted(), ["child 68001 stop", "child response", "response"])
})
