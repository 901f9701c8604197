/** Bodies of the conformance table: with a length, without one, none at all, and large ones both ways. */
import { createHash, randomBytes } from "node:crypto"
import type { Test } from "tap"
import type { Client } from "./client.ts"
import type { Exchange } from "./exchanges.ts"
import type { Fields, OriginCall } from "./origin.ts"

const MIB = 1_048_576
const LARGE_PIECES = 50
const BLOCK = randomBytes(MIB)

/** Answers with the request's own body, in its own way of framing. */
async function echo(call: OriginCall): Promise<void> {
  const body = await call.body()
  const length = call.field("content-length") === undefined ? [] : [["content-length", String(body.length)] as const]
  call.head(200, [["x-method", call.method], ...length])
  await call.write(body)
  call.end()
}

async function echoed(t: Test, client: Client, path: string, method: string, body: Buffer, fields: Fields) {
  const call = await client.call({ method, path, fields })
  const sent = call.write(body)
  call.end()
  const head = await call.head()
  const ended = await call.ended()
  await sent
  t.equal(head.status, 200)
  t.equal(head.field("x-method"), method)
  t.ok(ended.clean)
  t.ok(ended.body.equals(body), `${body.length} bytes came back as they were sent`)
}

function echoing(name: string, path: string, method: string, body: Buffer, sized: boolean): Exchange {
  const fields: Fields = sized ? [["Content-Length", String(body.length)]] : [["Transfer-Encoding", "chunked"]]
  return { name, path, serve: echo, run: (t, client) => echoed(t, client, path, method, body, fields) }
}

function plain(name: string, path: string, serve: Exchange["serve"], want: { status: number; body: string }): Exchange {
  return {
    name,
    path,
    serve,
    async run(t, client) {
      const call = await client.call({ path })
      const head = await call.head()
      const { body, clean } = await call.ended()
      t.equal(head.status, want.status)
      t.equal(body.toString(), want.body)
      t.ok(clean)
    },
  }
}

/** A request without a body and an answer of `length` bytes that does not carry them. */
function headOnly(name: string, path: string, fields: Fields): Exchange {
  return {
    name,
    path,
    serve(call) {
      call.head(200, fields)
      call.end()
    },
    async run(t, client) {
      const call = await client.call({ method: "HEAD", path })
      const head = await call.head()
      const { body, clean } = await call.ended()
      t.equal(head.status, 200)
      for (const [name, value] of fields) t.equal(head.field(name), value)
      t.equal(body.length, 0)
      t.ok(clean)
    },
  }
}

async function upload(t: Test, client: Client): Promise<void> {
  const call = await client.call({ method: "POST", path: "/large-up" })
  for (let i = 0; i < LARGE_PIECES; i++) await call.write(BLOCK)
  call.end()
  t.equal((await call.head()).status, 200)
  t.equal((await call.ended()).body.toString(), await largeHash())
}

async function download(t: Test, client: Client): Promise<void> {
  const call = await client.call({ path: "/large-down" })
  t.equal((await call.head()).status, 200)
  const hash = createHash("sha256")
  for (let piece = await call.next(); piece !== undefined; piece = await call.next()) hash.update(piece)
  t.ok((await call.ended()).clean)
  t.equal(hash.digest("hex"), await largeHash())
}

let known: string | undefined

async function largeHash(): Promise<string> {
  if (known === undefined) {
    const hash = createHash("sha256")
    for (let i = 0; i < LARGE_PIECES; i++) hash.update(BLOCK)
    known = hash.digest("hex")
  }
  return known
}

export const BODIES: readonly Exchange[] = [
  plain(
    "an answer of known length",
    "/sized",
    (call) => {
      call.head(200, [["content-length", "5"]])
      void call.write("hello")
      call.end()
    },
    { status: 200, body: "hello" },
  ),
  plain(
    "an answer of unknown length",
    "/unsized",
    async (call) => {
      call.head(200, [])
      await call.write("hel")
      await call.write("lo")
      call.end()
    },
    { status: 200, body: "hello" },
  ),
  plain(
    "an answer with an empty body",
    "/empty",
    (call) => {
      call.head(200, [["content-length", "0"]])
      call.end()
    },
    { status: 200, body: "" },
  ),
  plain(
    "204 has no body",
    "/no-content",
    (call) => {
      call.head(204, [["x-kept", "yes"]])
      call.end()
    },
    { status: 204, body: "" },
  ),
  plain(
    "304 has no body, and its fields are kept",
    "/not-modified",
    (call) => {
      call.head(304, [["etag", '"a"']])
      call.end()
    },
    { status: 304, body: "" },
  ),
  plain(
    "an error's status and body are the origin's",
    "/error",
    (call) => {
      call.head(429, [["content-length", "4"]])
      void call.write("slow")
      call.end()
    },
    { status: 429, body: "slow" },
  ),
  headOnly("HEAD of a known length", "/head-sized", [["content-length", "12345"]]),
  headOnly("HEAD of an unknown length", "/head-unsized", [["x-kept", "yes"]]),
  echoing("a request of known length", "/echo-sized", "POST", Buffer.from('{"a": 1,  "b":[ ]}'), true),
  echoing("a request of unknown length", "/echo-unsized", "POST", Buffer.from("piece"), false),
  echoing("a request with an empty body", "/echo-empty", "POST", Buffer.alloc(0), true),
  echoing("a body one byte over a window", "/echo-window", "PUT", randomBytes(65_536), true),
  echoing("a megabyte there and back", "/echo-megabyte", "PUT", BLOCK, false),
  echoing("PATCH with a body", "/echo-patch", "PATCH", Buffer.from("patch"), true),
  echoing("DELETE with a body", "/echo-delete", "DELETE", Buffer.from("gone"), true),
  echoing("a method of WebDAV's", "/echo-method", "PROPFIND", Buffer.from("x"), true),
  {
    name: "50 MB to the origin",
    path: "/large-up",
    async serve(call) {
      const hash = createHash("sha256")
      for await (const piece of call.pieces()) hash.update(piece)
      call.head(200, [])
      await call.write(hash.digest("hex"))
      call.end()
    },
    run: upload,
  },
  {
    name: "50 MB to the client",
    path: "/large-down",
    async serve(call) {
      call.head(200, [["content-length", String(LARGE_PIECES * MIB)]])
      for (let i = 0; i < LARGE_PIECES; i++) await call.write(BLOCK)
      call.end()
    },
    run: download,
  },
]
