/** Streams of the conformance table: lock-step, slow readers, many at once. */
import { setImmediate as turn } from "node:timers/promises"
import type { ClientCall } from "./client.ts"
import type { Exchange } from "./exchanges.ts"
import type { OriginCall } from "./origin.ts"

const EVENTS = 20
const AT_ONCE = 10
const PIECE = Buffer.alloc(65_536, "x")
/** More than the kernel's buffers of all hops take, and what we may hold. */
const SLOW_BYTES = 48 * 1_048_576
/** Turns of the event loop in which a count must not change to be called settled. */
const QUIET_TURNS = 300

/** Resolves to the count when it has not changed for many turns, in which everything that was ready was done. */
async function settled(count: () => number): Promise<number> {
  for (let quiet = 0, last = -1; quiet < QUIET_TURNS; quiet++) {
    await turn()
    if (count() !== last) quiet = 0
    last = count()
  }
  return count()
}

/** Each client that stalls has a call at the origin to be looked at. */
class Lookout {
  #waiting: ((call: OriginCall) => void)[] = []
  #seen: OriginCall[] = []

  show(call: OriginCall): void {
    const waiter = this.#waiting.shift()
    if (waiter === undefined) this.#seen.push(call)
    else waiter(call)
  }

  next(): Promise<OriginCall> {
    const seen = this.#seen.shift()
    return seen === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(seen)
  }
}

const slow = new Lookout()
const sink = new Lookout()
const steps = new Lookout()

async function until(call: ClientCall, text: string, have: string): Promise<string> {
  let all = have
  while (!all.includes(text)) {
    const piece = await call.next()
    if (piece === undefined) throw new Error(`the stream ended before ${JSON.stringify(text)}`)
    all += piece.toString()
  }
  return all
}

export const STREAMS: readonly Exchange[] = [
  {
    name: "events come one by one, each before the next is sent",
    path: "/events",
    serve(call) {
      call.head(200, [["content-type", "text/event-stream"]])
      steps.show(call)
    },
    async run(t, client) {
      const call = await client.call({ path: "/events" })
      const origin = await steps.next()
      t.equal((await call.head()).status, 200, "the head comes before the first event")
      let text = ""
      for (let i = 0; i < EVENTS; i++) {
        await origin.write(`data: ${i}.\n\n`)
        text = await until(call, ` ${i}.`, text)
      }
      origin.end()
      t.ok((await call.ended()).clean)
    },
  },
  {
    name: "a request streams while its answer does",
    path: "/duplex",
    async serve(call) {
      call.head(200, [])
      for await (const piece of call.pieces()) await call.write(piece)
      call.end()
    },
    async run(t, client) {
      const call = await client.call({ method: "POST", path: "/duplex", fields: [["transfer-encoding", "chunked"]] })
      t.equal((await call.head()).status, 200, "the head comes before the request is whole")
      let text = ""
      for (let i = 0; i < EVENTS; i++) {
        await call.write(` ${i}.`)
        text = await until(call, ` ${i}.`, text)
      }
      call.end()
      t.ok((await call.ended()).clean)
    },
  },
  {
    name: "a client that reads nothing stops the origin, and loses nothing",
    path: "/slow-reader",
    async serve(call) {
      call.head(200, [])
      slow.show(call)
      for (let sent = 0; sent < SLOW_BYTES; sent += PIECE.length) await call.write(PIECE)
      call.end()
    },
    async run(t, client, another) {
      const call = await client.call({ path: "/slow-reader" })
      const origin = await slow.next()
      await call.head()
      t.ok((await settled(() => origin.written)) < SLOW_BYTES, "the origin was stopped before its end")
      const other = await another()
      const beside = await client.call({ path: "/sized" })
      t.equal((await beside.ended()).body.toString(), "hello", "others are served meanwhile")
      other.close()
      let bytes = 0
      for (let piece = await call.next(); piece !== undefined; piece = await call.next()) bytes += piece.length
      t.equal(bytes, SLOW_BYTES)
      t.ok((await call.ended()).clean)
    },
  },
  {
    name: "an origin that reads nothing stops the client, and loses nothing",
    path: "/slow-origin",
    serve: (call) => sink.show(call),
    async run(t, client) {
      const call = await client.call({
        method: "POST",
        path: "/slow-origin",
        fields: [["transfer-encoding", "chunked"]],
      })
      let written = 0
      const pour = (async () => {
        for (; written < SLOW_BYTES; written += PIECE.length) await call.write(PIECE)
        call.end()
      })()
      const origin = await sink.next()
      t.ok((await settled(() => written)) < SLOW_BYTES, "the client was stopped before its end")
      let bytes = 0
      for await (const piece of origin.pieces()) bytes += piece.length
      await pour
      t.equal(bytes, SLOW_BYTES)
      origin.head(200, [])
      origin.end()
      t.equal((await call.head()).status, 200)
      t.ok((await call.ended()).clean)
    },
  },
  {
    name: "many at once do not mix",
    path: "/many",
    async serve(call) {
      const body = await call.body()
      call.head(200, [])
      for (const byte of body) await call.write(Buffer.from([byte]))
      call.end()
    },
    async run(t, client) {
      const texts = Array.from({ length: AT_ONCE }, (_, i) => `this is call ${i} of many`)
      const answers = texts.map(async (text) => {
        const call = await client.call({
          method: "POST",
          path: "/many",
          fields: [["content-length", String(text.length)]],
        })
        await call.write(text)
        call.end()
        return (await call.ended()).body.toString()
      })
      t.same(await Promise.all(answers), texts)
    },
  },
]
