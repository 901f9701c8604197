/** Endings of the conformance table: cuts are cuts, and who leaves is missed on the other side. */
import type { Exchange } from "./exchanges.ts"
import type { OriginCall } from "./origin.ts"

/** The origin's side of a call, for the client's script. */
class Meeting {
  #arrived: (call: OriginCall) => void = () => {}
  #call: Promise<OriginCall> = this.#next()

  readonly serve = (call: OriginCall): void => this.#arrived(call)

  async take(): Promise<OriginCall> {
    const call = await this.#call
    this.#call = this.#next()
    return call
  }

  #next(): Promise<OriginCall> {
    return new Promise((resolve) => {
      this.#arrived = resolve
    })
  }
}

const leaving = new Meeting()
const leavingEarly = new Meeting()

function cutting(name: string, path: string, length: number | undefined): Exchange {
  const meeting = new Meeting()
  return {
    name,
    path,
    serve: meeting.serve,
    async run(t, client) {
      const call = await client.call({ path })
      const origin = await meeting.take()
      origin.head(200, length === undefined ? [] : [["content-length", String(length)]])
      await origin.write("half")
      const first = await call.next()
      t.equal(first?.toString(), "half")
      origin.cut()
      const { clean } = await call.ended()
      t.notOk(clean, "the client sees a cut")
    },
  }
}

function leavingUpload(name: string, path: string, framing: readonly [string, string]): Exchange {
  const meeting = new Meeting()
  return {
    name: `${name} is missed by the origin`,
    path,
    serve: meeting.serve,
    async run(t, client) {
      const call = await client.call({ method: "POST", path, fields: [framing] })
      await call.write("half")
      const origin = await meeting.take()
      call.abort()
      await t.rejects(origin.body(), "the request never looks whole")
      await origin.gone
    },
  }
}

export const ENDINGS: readonly Exchange[] = [
  cutting("a cut in an answer of known length", "/cut-sized", 100),
  cutting("a cut in an answer of unknown length", "/cut-unsized", undefined),
  {
    name: "a cut before the head is a 502",
    path: "/cut-early",
    proxied: true,
    serve: (call) => call.cut(),
    async run(t, client) {
      const call = await client.call({ path: "/cut-early" })
      t.equal((await call.head()).status, 502)
      t.ok((await call.ended()).clean)
    },
  },
  {
    name: "an answer before the request is whole reaches the client",
    path: "/early-answer",
    async serve(call) {
      call.head(401, [["content-length", "2"]])
      await call.write("no")
      call.end()
    },
    async run(t, client) {
      const call = await client.call({
        method: "POST",
        path: "/early-answer",
        fields: [["transfer-encoding", "chunked"]],
      })
      await call.write("first piece")
      t.equal((await call.head()).status, 401)
      t.equal((await call.next())?.toString(), "no")
      call.abort()
    },
  },
  {
    name: "a client that leaves in an answer is missed by the origin",
    path: "/leaving",
    serve: leaving.serve,
    async run(t, client) {
      const call = await client.call({ path: "/leaving" })
      const origin = await leaving.take()
      origin.head(200, [])
      await origin.write("half")
      t.equal((await call.next())?.toString(), "half")
      const left = performance.now()
      call.abort()
      await origin.gone
      t.pass(`the origin saw it, after ${(performance.now() - left).toFixed(1)} ms`)
    },
  },
  {
    name: "a client that leaves before the head is missed by the origin",
    path: "/leaving-early",
    serve: leavingEarly.serve,
    async run(t, client) {
      const call = await client.call({ path: "/leaving-early" })
      const origin = await leavingEarly.take()
      const left = performance.now()
      call.abort()
      await origin.gone
      t.pass(`the origin saw it, after ${(performance.now() - left).toFixed(1)} ms`)
    },
  },
  leavingUpload("a client that leaves in a request of known length", "/leaving-sized", ["content-length", "100"]),
  leavingUpload("a client that leaves in a request of unknown length", "/leaving-unsized", [
    "transfer-encoding",
    "chunked",
  ]),
]
