/** `llmproxy models get`: a file comes whole or not at all, and goes on where it broke off if it is still the same. */
import { createHash } from "node:crypto"
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { join } from "node:path"
import { type Test, test } from "tap"
import { getModel } from "../../../addons/models/get.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"

const FILE = Buffer.concat([Buffer.from("GGUF"), Buffer.alloc(200_000, "model")])
const SHA256 = createHash("sha256").update(FILE).digest("hex")
const NONE = { name: undefined, sha256: undefined }

type Serve = (request: IncomingMessage, response: ServerResponse, count: number) => unknown

/** A server that does what it is told to, and how it is asked. */
async function start(t: Test, serve: Serve) {
  const asked: IncomingMessage[] = []
  const server = createServer((request, response) => serve(request, response, asked.push(request)))
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const folder = join(t.testdir({}), "models")
  const clock = new ManualClock()
  const said: string[] = []
  const leaving = new AbortController()
  const get = (path: string, flags = {}) =>
    getModel(
      path.startsWith("http") ? path : `http://127.0.0.1:${port}${path}`,
      { folder, ...NONE, ...flags },
      { note: (text) => said.push(text), print: (text) => said.push(text), clock, signal: leaving.signal },
    )
  return { asked, folder, clock, said, leaving, get, origin: `http://127.0.0.1:${port}` }
}

interface Sending {
  readonly tag?: string
  /** Breaks off behind so many, once they are in `part`. */
  readonly bytes?: number
  readonly part?: string
  readonly file?: Buffer
}

/** Sends the file from where it is asked for. */
async function send(request: IncomingMessage, response: ServerResponse, sending: Sending = {}): Promise<void> {
  const { tag = '"v1"', bytes = Number.POSITIVE_INFINITY, part = "", file = FILE } = sending
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0)
  const isSame = from > 0 && request.headers["if-range"] === tag
  const body = file.subarray(isSame ? from : 0)
  response.writeHead(isSame ? 206 : 200, {
    ETag: tag,
    "Content-Length": body.length,
    ...(isSame && { "Content-Range": `bytes ${from}-${file.length - 1}/${file.length}` }),
  })
  if (bytes >= body.length) return void response.end(body)
  response.write(body.subarray(0, bytes))
  const there = (isSame ? from : 0) + bytes
  while (statSync(part, { throwIfNoEntry: false })?.size !== there)
    await new Promise((resolve) => setImmediate(resolve))
  response.destroy()
}

test("a file is fetched into the folder, with its progress, and not twice", async (t) => {
  const { get, folder, said, asked } = await start(t, (request, response) => send(request, response))
  t.equal(await get("/org/tiny%20v1.gguf?download=true", { name: "tiny.gguf", sha256: SHA256.toUpperCase() }), 0)
  t.ok(readFileSync(join(folder, "tiny.gguf")).equals(FILE))
  t.match(said.join(""), /tiny\.gguf \[#{20}\] 201 kB of 201 kB, 100 %/)
  t.notOk(existsSync(join(folder, "tiny.gguf.part")))
  t.notOk(existsSync(join(folder, "tiny.gguf.part.json")))
  t.equal(await get("/tiny.gguf"), 1)
  t.match(said.at(-1), /is there already/)
  t.equal(asked.length, 1)
  t.equal(asked[0]?.headers["accept-encoding"], "identity")
})

test("what breaks off goes on from there, in this command and in the next one", async (t) => {
  const part = join(t.testdirName, "models", "tiny.gguf.part")
  const { get, folder, asked, said } = await start(t, (request, response, count) =>
    count === 3 ? response.destroy() : send(request, response, count < 5 ? { bytes: 50_000, part } : {}),
  )
  t.equal(await get("/tiny.gguf"), 1, "the third try brings nothing")
  t.match(said.at(-1), /does not answer/)
  t.equal(readFileSync(join(folder, "tiny.gguf.part")).length, 100_000)
  t.equal(await get("/tiny.gguf"), 0)
  t.ok(readFileSync(join(folder, "tiny.gguf")).equals(FILE))
  t.same(
    asked.map(({ headers }) => headers.range),
    [undefined, "bytes=50000-", "bytes=100000-", "bytes=100000-", "bytes=150000-"],
  )
})

test("a file that has changed is fetched anew; so is one whose rest is not there", async (t) => {
  const other = Buffer.concat([Buffer.from("GGUF"), Buffer.alloc(9_000, "new")])
  const part = join(t.testdirName, "models", "tiny.gguf.part")
  const { get, folder } = await start(t, (request, response, count) =>
    count === 1
      ? send(request, response, { bytes: 50_000, part })
      : send(request, response, { tag: '"v2"', file: other }),
  )
  t.equal(await get("/tiny.gguf"), 0)
  t.ok(readFileSync(join(folder, "tiny.gguf")).equals(other))
  const second = await start(t, (request, response, count) => {
    if (count === 1) return send(request, response, { bytes: 50_000, part })
    if (request.headers.range === undefined) return send(request, response)
    response.writeHead(416).end()
  })
  t.equal(await second.get("/tiny.gguf"), 0)
  t.same(
    second.asked.map(({ headers }) => headers.range),
    [undefined, "bytes=50000-", undefined],
  )
})

test("what is whole already and only not renamed is taken with 416", async (t) => {
  const { get, folder, origin } = await start(t, (_request, response, count) => {
    if (count === 1) response.writeHead(500).end()
    else response.writeHead(416).end()
  })
  t.equal(await get("/tiny.gguf"), 1)
  writeFileSync(join(folder, "tiny.gguf.part"), FILE)
  const known = { url: `${origin}/tiny.gguf`, tag: '"v1"', total: FILE.length }
  writeFileSync(join(folder, "tiny.gguf.part.json"), JSON.stringify(known))
  t.equal(await get("/tiny.gguf"), 0)
  t.ok(readFileSync(join(folder, "tiny.gguf")).equals(FILE))
})

test("another sum, another size or no model at all is refused, and nothing is left", async (t) => {
  const { get, folder, said } = await start(t, (request, response, count) => {
    if (count === 1) return send(request, response)
    if (count === 2)
      return response.writeHead(302, { Location: "/there", "X-Linked-Etag": `"${"0".repeat(64)}"` }).end()
    if (count === 3) return send(request, response)
    if (count === 4) return response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html>")
    return response.writeHead(404, "Not Found").end("no")
  })
  t.equal(await get("/a.gguf", { sha256: "f".repeat(64) }), 1)
  t.match(said.at(-1), `SHA-256 is ${SHA256}, and should be ${"f".repeat(64)}`)
  t.equal(await get("/b.gguf"), 1, "a sum that the server says before it redirects counts, too")
  t.match(said.at(-1), "should be 000")
  t.equal(await get("/c.gguf"), 1)
  t.match(said.at(-1), /is no GGUF file/)
  t.equal(await get("/d.gguf"), 1)
  t.match(said.at(-1), /answers 404 Not Found/)
  for (const name of ["a", "b", "c", "d"]) t.notOk(existsSync(join(folder, `${name}.gguf`)))
})

test("without a size the end of the stream counts, and a cut does not", async (t) => {
  const { get, said } = await start(t, (_request, response, count) => {
    response.writeHead(200)
    response.write(FILE, () => (count === 1 ? response.end() : response.destroy()))
  })
  t.equal(await get("/a.gguf"), 0)
  t.equal(await get("/b.gguf"), 1)
  t.match(said.at(-1), /broke off/)
})

test("redirects are followed, to addresses of the web and so many", async (t) => {
  const { get, said } = await start(t, (request, response) => {
    if (request.url === "/a.gguf") response.writeHead(307, { Location: "/b.gguf" }).end()
    else if (request.url === "/b.gguf") send(request, response)
    else if (request.url === "/file.gguf") response.writeHead(302, { Location: "file:///etc/passwd" }).end()
    else response.writeHead(302, { Location: "/round.gguf" }).end()
  })
  t.equal(await get("/a.gguf"), 0)
  t.equal(await get("/file.gguf"), 1)
  t.match(said.at(-1), /not followed/)
  t.equal(await get("/round.gguf"), 1)
  t.match(said.at(-1), /more than 20 redirects/)
})

test("a server that says nothing more is left, and so is one when the command is broken off", async (t) => {
  const { get, clock, said, leaving } = await start(t, (_request, response, count) => {
    if (count > 1) return leaving.abort(new Error("broken off"))
    response.writeHead(200, { "Content-Length": FILE.length })
    response.write(FILE.subarray(0, 10), () => setImmediate(() => clock.advance(60_000)))
  })
  t.equal(await get("/a.gguf"), 1)
  t.match(said.at(-1), /nothing came for 60 s/)
  await t.rejects(get("/a.gguf"), /broken off/)
})

test("a name that is none, an address that is none, a sum that is none: nothing is asked", async (t) => {
  const { get, asked } = await start(t, () => {})
  for (const path of ["/", "/a.bin", "/..%2fa.gguf", "/%00.gguf", "/%ff.gguf", "/.gguf"])
    await t.rejects(get(path), /no name of a model/)
  for (const name of ["../a.gguf", "/etc/a.gguf", "a\\b.gguf", "-a.gguf"])
    await t.rejects(get("/a.gguf", { name }), /no name/)
  await t.rejects(get("/a.gguf", { sha256: "abc" }), /64 digits/)
  for (const url of ["http://", "https://ann:secret@127.0.0.1/a.gguf"]) await t.rejects(get(url), /address/)
  t.equal(asked.length, 0)
})
