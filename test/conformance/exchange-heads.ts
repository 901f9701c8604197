/** Heads of the conformance table: fields, targets, trailers, interim responses, 100-continue. */
import type { Exchange } from "./exchanges.ts"
import type { Fields, OriginCall } from "./origin.ts"

const LARGE_FIELD = "v".repeat(32_768)
const MANY: Fields = Array.from({ length: 150 }, (_, i) => [`x-field-${i}`, `value ${i}`] as const)

/** Tells the client what came: lower-case names, in order. */
async function tell(call: OriginCall): Promise<void> {
  await call.body()
  const fields = call.fields.map(([name, value]) => [name.toLowerCase(), value])
  const text = JSON.stringify({ method: call.method, path: call.path, fields, trailers: call.trailers() })
  call.head(200, [["content-length", String(Buffer.byteLength(text))]])
  await call.write(text)
  call.end()
}

interface Told {
  readonly method: string
  readonly path: string
  readonly fields: readonly (readonly [string, string])[]
  readonly trailers: Record<string, string>
}

function told(body: Buffer): Told {
  return JSON.parse(body.toString()) as Told // made by tell() above
}

function asking(
  name: string,
  path: string,
  ask: { method?: string; fields?: Fields },
  look: (told: Told) => unknown,
  want: unknown,
): Exchange {
  return {
    name,
    path,
    serve: tell,
    async run(t, client) {
      const call = await client.call({ path, ...ask })
      t.equal((await call.head()).status, 200)
      t.same(look(told((await call.ended()).body)), want)
    },
  }
}

function answering(name: string, path: string, fields: Fields, look: (fields: Fields) => unknown): Exchange {
  return {
    name,
    path,
    serve(call) {
      call.head(200, fields)
      call.end()
    },
    async run(t, client) {
      const call = await client.call({ path })
      const head = await call.head()
      t.same(look(head.fields), look(fields))
      t.ok((await call.ended()).clean)
    },
  }
}

const named = (wanted: string) => (fields: Fields) => fields.filter(([name]) => name === wanted)
const starting = (prefix: string) => (fields: Fields) => fields.filter(([name]) => name.startsWith(prefix))

export const HEADS: readonly Exchange[] = [
  asking(
    "a path and its query come as they were written",
    "/path%2Fa;b?x=%20y&z=[]&&=",
    {},
    ({ path }) => path,
    "/path%2Fa;b?x=%20y&z=[]&&=",
  ),
  asking("OPTIONS of a path", "/options", { method: "OPTIONS" }, ({ method }) => method, "OPTIONS"),
  asking(
    "a large field of a request",
    "/large-request",
    { fields: [["x-large", LARGE_FIELD]] },
    ({ fields }) => named("x-large")(fields),
    [["x-large", LARGE_FIELD]],
  ),
  asking(
    "150 fields of a request, in order",
    "/many-request",
    { fields: MANY },
    ({ fields }) => starting("x-field-")(fields),
    MANY,
  ),
  asking(
    "an empty field of a request",
    "/empty-request-field",
    { fields: [["x-empty", ""]] },
    ({ fields }) => named("x-empty")(fields),
    [["x-empty", ""]],
  ),
  asking(
    "cookies reach the origin as one field or several, whole",
    "/cookies",
    { fields: [["cookie", "a=1; b=2"]] },
    ({ fields }) =>
      named("cookie")(fields)
        .map(([, value]) => value)
        .join("; "),
    "a=1; b=2",
  ),
  answering("a large field of an answer", "/large-answer", [["x-large", LARGE_FIELD]], named("x-large")),
  answering("150 fields of an answer, in order", "/many-answer", MANY, starting("x-field-")),
  answering(
    "Set-Cookie is never joined",
    "/set-cookie",
    [
      ["set-cookie", "a=1, x"],
      ["set-cookie", "b=2"],
    ],
    named("set-cookie"),
  ),
  answering("an empty field of an answer", "/empty-answer-field", [["x-empty", ""]], named("x-empty")),
  {
    name: "trailers of an answer",
    path: "/answer-trailers",
    async serve(call) {
      call.head(200, [["trailer", "x-sum"]])
      await call.write("body")
      call.end([["x-sum", "42"]])
    },
    async run(t, client) {
      const call = await client.call({ path: "/answer-trailers", fields: [["te", "trailers"]] })
      await call.head()
      const { body, clean, trailers } = await call.ended()
      t.equal(body.toString(), "body")
      t.equal(trailers["x-sum"], "42")
      t.ok(clean)
    },
  },
  {
    name: "trailers of a request",
    path: "/request-trailers",
    serve: tell,
    async run(t, client) {
      const fields: Fields = [
        ["transfer-encoding", "chunked"],
        ["trailer", "x-sum"],
      ]
      const call = await client.call({ method: "POST", path: "/request-trailers", fields })
      await call.write("body")
      call.end([["x-sum", "42"]])
      await call.head()
      t.equal(told((await call.ended()).body).trailers["x-sum"], "42")
    },
  },
  {
    name: "103 comes before the answer",
    path: "/early-hints",
    serve(call) {
      call.inform(103, [["link", "</a.css>; rel=preload"]])
      call.head(200, [])
      call.end()
    },
    async run(t, client) {
      const call = await client.call({ path: "/early-hints" })
      t.equal((await call.head()).status, 200)
      t.same(
        call.informs.map(({ status }) => status),
        [103],
      )
      t.equal(call.informs[0]?.field("link"), "</a.css>; rel=preload")
      t.ok((await call.ended()).clean)
    },
  },
  {
    name: "102 and 103 keep their order",
    path: "/two-informs",
    serve(call) {
      call.inform(102, [])
      call.inform(103, [["link", "</b.css>; rel=preload"]])
      call.head(200, [])
      call.end()
    },
    async run(t, client) {
      const call = await client.call({ path: "/two-informs" })
      t.equal((await call.head()).status, 200)
      t.same(
        call.informs.map(({ status }) => status),
        [102, 103],
      )
      await call.ended()
    },
  },
  {
    name: "100-continue: the body waits for the origin's word",
    path: "/continue",
    async serve(call) {
      call.proceed()
      const body = await call.body()
      call.head(200, [["x-expected", String(call.expectsContinue)]])
      await call.write(body)
      call.end()
    },
    async run(t, client) {
      const fields: Fields = [
        ["expect", "100-continue"],
        ["content-length", "4"],
      ]
      const call = await client.call({ method: "POST", path: "/continue", fields })
      await call.continued
      await call.write("body")
      call.end()
      const head = await call.head()
      t.equal(head.field("x-expected"), "true", "the origin was asked")
      t.equal((await call.ended()).body.toString(), "body")
    },
  },
  {
    name: "100-continue: a refusal comes instead, and no body is sent",
    path: "/refused",
    serve(call) {
      call.head(413, [["content-length", "3"]])
      void call.write("big")
      call.end()
    },
    async run(t, client) {
      const fields: Fields = [
        ["expect", "100-continue"],
        ["content-length", "4"],
      ]
      const call = await client.call({ method: "POST", path: "/refused", fields })
      t.equal((await call.head()).status, 413)
      t.equal((await call.ended()).body.toString(), "big")
      call.abort()
    },
  },
]
