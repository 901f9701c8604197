/** The query, cookies and forms of a request, edited on its way. */
import assert from "node:assert/strict"
import { test } from "tap"
import type { Flow } from "../../../lib/api/flow.ts"
import { addon, answer, origin, request, startHost } from "../../helpers/hosts/proxy-host.ts"

const BINARY = Buffer.from([0, 255, 13, 10, 45, 45, 128])

const edits = (edit: (flow: Flow) => Promise<void> | void) => addon("edits", { request: edit }, { reads: "bodies" })

/** A form as a program sends it: two fields, and a file of bytes. */
function multipart(boundary = "short"): Buffer {
  const part = (head: string) => `--${boundary}\r\nContent-Disposition: form-data; ${head}\r\n`
  return Buffer.concat([
    Buffer.from(`${part('name="model"')}\r\nwhisper-1\r\n${part('name="prompt"')}\r\né\r\n`),
    Buffer.from(`${part('name="file"; filename="a.wav"')}Content-Type: audio/wav\r\n\r\n`),
    BINARY,
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ])
}

const AS_FORM = "Content-Type: multipart/form-data; boundary=short\r\n"
const URLENCODED = "Content-Type: application/x-www-form-urlencoded\r\n"

test("the query is edited in the path, and what nobody edits leaves as it came", async (t) => {
  const seen: unknown[] = []
  const changes = edits((flow) => {
    const { query } = flow.request
    seen.push(query.get("key"), query === flow.request.query)
    if (!flow.request.path.startsWith("/edit")) return
    query.set("key", "a b")
    query.delete("gone")
    flow.request.path = flow.request.path.replace("/edit", "/edited")
    query.append("more", flow.request.path.length.toString())
  })
  const host = await startHost(t, { addons: [changes] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const paths: [string, string][] = [
    ["/keep?key=%7e&&x=!'+%zz", "/keep?key=%7e&&x=!'+%zz"],
    ["/edit?odd=%7e&key=1&gone&key=2", "/edited?odd=%7e&key=a+b&more=23"],
    ["/edit", "/edited?key=a+b&more=15"],
    ["/keep?", "/keep?"],
  ]
  for (const [path, expected] of paths) {
    const wire = await host.connect()
    wire.write(request("GET", up.port, path))
    await wire.response()
    assert.equal(up.requests.at(-1)?.target, expected)
  }
  assert.deepEqual(seen, ["~", true, "1", true, undefined, true, undefined, true])
})

test("cookies are read and edited in the Cookie field; a response's are read", async (t) => {
  const seen: unknown[] = []
  const changes = addon("changes", {
    request({ request: { cookies } }) {
      seen.push([...cookies])
      cookies.set("session", "mine")
      cookies.delete("track")
    },
    responseHeaders: ({ response }) => void seen.push(response?.cookies.map(({ name, path }) => [name, path])),
  })
  const host = await startHost(t, { addons: [changes] })
  const up = await origin(
    t,
    (_, socket) => void socket.write(answer("ok", "Set-Cookie: a=1; Path=/\r\nSet-Cookie: b\r\nSet-Cookie: c=\r\n")),
  )
  const wire = await host.connect()
  wire.write(request("GET", up.port, "/", "", "Cookie: odd; track=1; session=theirs\r\n"))
  const response = await wire.response()
  wire.write(request("GET", up.port, "/", "", "Cookie: track=1\r\n"))
  await wire.response()
  assert.match(up.requests[0]?.head ?? "", /\r\nCookie: odd; session=mine(\r\n|$)/)
  assert.match(up.requests[1]?.head ?? "", /\r\nCookie: session=mine(\r\n|$)/)
  const cookies = [
    ["a", "/"],
    ["c", undefined],
  ]
  assert.deepEqual(seen, [
    [
      ["track", "1"],
      ["session", "theirs"],
    ],
    cookies,
    [["track", "1"]],
    cookies,
  ])
  assert.deepEqual(response.headers.getAll("set-cookie"), ["a=1; Path=/", "b", "c="], "they pass as they came")
})

test("a multipart form is read and written anew, its files byte for byte; read alone it leaves as it came", async (t) => {
  const seen: unknown[] = []
  const changes = edits(async (flow) => {
    const form = await flow.request.formData()
    const file = form.get("file")
    seen.push(form.get("model"), form.get("prompt"))
    if (typeof file !== "string" && file !== null)
      seen.push(file.name, file.type, Buffer.from(await file.arrayBuffer()).equals(BINARY))
    if (flow.request.path === "/keep") return
    form.set("model", "local")
    await flow.request.setFormData(form)
  })
  const host = await startHost(t, { addons: [changes] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  for (const path of ["/keep", "/edit"]) {
    const wire = await host.connect()
    wire.write(Buffer.from(request("POST", up.port, path, multipart(), AS_FORM), "latin1"))
    await wire.response("POST")
  }
  const told = ["whisper-1", "é", "a.wav", "audio/wav", true]
  assert.deepEqual(seen, [...told, ...told])
  const [kept, edited] = up.requests
  assert.deepEqual(kept?.body, multipart())
  assert.match(kept?.head ?? "", /boundary=short/)
  const type = /content-type: (.*)/i.exec(edited?.head ?? "")?.[1] ?? ""
  const form = await new Response(edited?.body, { headers: { "Content-Type": type } }).formData()
  assert.deepEqual([...form.keys()], ["model", "prompt", "file"])
  assert.equal(form.get("model"), "local")
  const file = form.get("file")
  assert.ok(typeof file !== "string" && file !== null)
  assert.deepEqual([file.name, file.type, Buffer.from(await file.arrayBuffer())], ["a.wav", "audio/wav", BINARY])
  await host.settled()
  assert.equal(host.server.core.memory.used, 0, "what was taken for the form is given back")
})

test("an urlencoded form stays one, unless a file is put into it", async (t) => {
  const changes = edits(async (flow) => {
    const form = await flow.request.formData()
    form.append("b", "x y")
    if (flow.request.path === "/file") form.set("file", new File(["z"], "z.txt"))
    await flow.request.setFormData(form)
  })
  const host = await startHost(t, { addons: [changes] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  for (const path of ["/text", "/file"]) {
    const wire = await host.connect()
    wire.write(request("POST", up.port, path, "a=%C3%A9&b=1", URLENCODED))
    await wire.response("POST")
  }
  const [text, file] = up.requests
  assert.equal(text?.body.toString(), "a=%C3%A9&b=1&b=x+y")
  assert.match(text?.head ?? "", /content-type: application\/x-www-form-urlencoded/i)
  assert.match(file?.head ?? "", /content-type: multipart\/form-data; boundary=/i)
  assert.match(file?.body.toString() ?? "", /filename="z.txt"/)
})

test("what is no form, or too much of one, rejects with what is wrong, and leaves as it came", async (t) => {
  const thrown: string[] = []
  const reads = edits((flow) =>
    flow.request.formData().then(
      () => void thrown.push("read"),
      (error) => void thrown.push(String(error)),
    ),
  )
  const host = await startHost(t, { addons: [reads] })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const cases: [fields: string, body: string, RegExp][] = [
    ["", "a=1", /the body is no form but of no Content-Type/],
    ["Content-Type: application/json\r\n", "{}", /the body is no form but application\/json/],
    ["Content-Type: multipart/form-data\r\n", "x", /the body is no form but multipart\/form-data/],
    [AS_FORM, multipart().toString("latin1").slice(0, -4), /no multipart\/form-data; boundary=short that can be read/],
    [URLENCODED, "a&".repeat(10_001), /more than 10000 fields/],
    [URLENCODED, "a&".repeat(9_999), /^read$/],
    [AS_FORM, "--short\r\n".repeat(10_001), /more than 10000 fields/],
  ]
  for (const [fields, body, message] of cases) {
    const wire = await host.connect()
    wire.write(Buffer.from(request("POST", up.port, "/", Buffer.from(body, "latin1"), fields), "latin1"))
    await wire.response("POST")
    assert.match(thrown.at(-1) ?? "", message)
    assert.equal(up.requests.at(-1)?.body.toString("latin1"), body)
  }
})

test("a form that memory has no room for rejects", async (t) => {
  let thrown: unknown
  const reads = edits(async (flow) => {
    thrown = await flow.request.formData().catch((error) => error)
  })
  const host = await startHost(t, { addons: [reads], settings: { memoryLimit: 400 } })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const wire = await host.connect()
  wire.write(Buffer.from(request("POST", up.port, "/", multipart(), AS_FORM), "latin1"))
  await wire.response("POST")
  assert.match(String(thrown), /memory limit/)
  assert.deepEqual(up.requests[0]?.body, multipart())
})
