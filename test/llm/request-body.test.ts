import fc from "fast-check"
import { test } from "tap"
import { BODY_DEPTH_MAX, RequestBody } from "../../lib/llm/request-body.ts"

function bodyOf(text: string): RequestBody {
  const body = RequestBody.parse(Buffer.from(text))
  if (!body) throw new Error(`unparsed: ${text}`)
  return body
}

test("an unchanged body leaves as the very buffer that came", async (t) => {
  const bytes = Buffer.from('{ "model" : "x", "n": 1.0, "big": 12345678901234567890 }')
  const body = RequestBody.parse(bytes)
  t.equal(body?.changed(), false)
  t.equal(body?.bytes(), bytes)
})

test("a change is found however it was made, and only it is written", async (t) => {
  const body = bodyOf('{ "model" : "x", "messages": [ {"role":"user", "content":"é"} ] }')
  const [message] = Array.isArray(body.json.messages) ? body.json.messages : []
  Object.assign(message ?? {}, { name: "n" })
  t.equal(body.changed(), true)
  const expected = '{ "model" : "x", "messages": [ {"role":"user", "content":"é", "name":"n"} ] }'
  t.equal(body.bytes().toString(), expected)
})

test("a change that is taken back is no change", async (t) => {
  const body = bodyOf('{"a": 1}')
  body.json.a = 2
  body.json.a = 1
  t.equal(body.changed(), false)
  t.equal(body.bytes().toString(), '{"a": 1}')
})

test("what is no JSON object in UTF-8 is not parsed", async (t) => {
  for (const text of ["", "[]", '"a"', "1", "null", "{", "{}x", "\uFEFF{}"]) {
    t.equal(RequestBody.parse(Buffer.from(text)), undefined, JSON.stringify(text))
  }
  t.equal(RequestBody.parse(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), undefined, "invalid UTF-8")
  t.ok(RequestBody.parse(Buffer.from('{"a":"\uFFFD"}')), "a replacement character that was sent is valid")
})

test("a body that nests too deeply is not parsed", async (t) => {
  const nested = (levels: number): Buffer => Buffer.from(`{"a":${"[".repeat(levels)}${"]".repeat(levels)}}`)
  t.ok(RequestBody.parse(nested(BODY_DEPTH_MAX - 1)))
  t.equal(RequestBody.parse(nested(BODY_DEPTH_MAX)), undefined)
  t.equal(RequestBody.parse(Buffer.from("[".repeat(100_000))), undefined)
})

test("any bytes are either parsed to what JSON.parse gives or not parsed, never thrown at", async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.object({ maxDepth: 2 }), (bytes, object) => {
      RequestBody.parse(Buffer.from(bytes))
      const text = JSON.stringify(object)
      const body = RequestBody.parse(Buffer.from(text))
      return JSON.stringify(body?.json) === text && body?.bytes().toString() === text
    }),
  )
  t.pass()
})
