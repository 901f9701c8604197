import { randomBytes } from "node:crypto"
import { test } from "tap"
import { Redactor } from "../../../lib/base/secrets/redactor.ts"
import { asJson } from "../../../lib/store/notes.ts"

/** A secret of letters and digits. */
const random = (bytes = 16) => `${randomBytes(bytes).toString("hex")}a1`

test("secrets are known by their form", async (t) => {
  const redactor = new Redactor()
  const secret = random()
  const forms: Record<string, string> = {
    [`sk-${secret}`]: "sk-***",
    [`sk-proj-${secret}`]: "sk-***",
    [`ghp_${secret}`]: "***",
    [`xoxb-${secret}`]: "***",
    [`AIza${secret}${secret}`]: "***",
    [`AKIA${"A1B2C3D4E5F6G7H8"}`]: "***",
    [`eyJhbGciOiJIUzI1NiJ9.${secret}.${secret}`]: "***",
    [`Bearer ${secret}`]: "Bearer ***",
    [`Basic ${Buffer.from("user:word").toString("base64")}`]: "Basic ***",
    [`OPENAI_API_KEY=${secret}`]: "OPENAI_API_KEY=***",
    [`"api_key": "${secret}"`]: '"api_key": "***"',
    [`{\\"access_token\\":\\"${secret}\\"}`]: '{\\"access_token\\":\\"***\\"}',
    [`https://me:${secret}@host/`]: "https://me:***@host/",
    [`/v1?x-key=${secret}&a=1`]: "/v1?x-key=***&a=1",
    [`-----BEGIN RSA PRIVATE KEY-----\n${secret}\n-----END RSA PRIVATE KEY-----`]: "***",
  }
  for (const [text, kept] of Object.entries(forms)) t.equal(redactor.text(`see ${text}, then`), `see ${kept}, then`)
})

test("prose and code are no secrets: the texts are a data set", async (t) => {
  const redactor = new Redactor()
  for (const text of [
    "A basic understanding of bearer tokens and sk-learn.",
    "const token = tokenizer.get_next_token()",
    "password: string | undefined, secret = getSecret()",
    "Authorization: Bearer authentication is described in RFC 6750",
    "the token gpt-4-0125-preview and the key sk-image-tools",
    "https://example.com/path?keyboard=qwerty&page=2",
    "max_tokens: 4096, tokens per second = 120",
  ])
    t.equal(redactor.text(text), text)
})

test("a value that was seen in a secret field is found wherever it is repeated", async (t) => {
  const redactor = new Redactor()
  const cookie = random(8)
  redactor.learn(
    [
      ["Authorization", "Bearer only-plain-words"],
      ["Cookie", `theme=production; sid=${cookie}`],
      ["Api-Key", "lm-studio"],
    ],
    "https://host/v1?sig=plain-signature&page=production",
  )
  t.equal(redactor.text(`only-plain-words ${cookie} plain-signature`), "*** *** ***")
  t.equal(redactor.text("lm-studio in production"), "lm-studio in production", "a placeholder is no secret")
  t.strictSame(redactor.json({ "only-plain-words": 1 }), { "***": 1 })
})

test("of the values it has seen, it remembers the latest", async (t) => {
  const redactor = new Redactor()
  for (let i = 0; i < 100; i++)
    redactor.learn([["authorization", `Bearer plain-word-${String(i).padStart(3, "0")}-end`]])
  t.equal(redactor.text("plain-word-099-end"), "***")
  t.equal(redactor.text("plain-word-000-end"), "plain-word-000-end")
})

test("heads, URLs and JSON lose the values of fields that are named like secrets", async (t) => {
  const redactor = new Redactor()
  t.strictSame(
    redactor.headers([
      ["X-Api-Key", "v"],
      ["Set-Cookie", "a=b"],
      ["x-goog-api-key", "v"],
      ["x-ratelimit-remaining-tokens", "5"],
      ["OpenAI-Organization", "org"],
      ["Location", "/next?access_token=short&page=1"],
    ]),
    [
      ["X-Api-Key", "***"],
      ["Set-Cookie", "***"],
      ["x-goog-api-key", "***"],
      ["x-ratelimit-remaining-tokens", "5"],
      ["OpenAI-Organization", "org"],
      ["Location", "/next?access_token=***&page=1"],
    ],
  )
  const value = JSON.parse(
    '{"apiKey":"a","client_secret":"b","password":{"type":"string"},"max_tokens":5,"stop_token":"","__proto__":{"token":"c"},"key":"C major","list":[{"accessToken":"d"},null,true]}',
  )
  t.equal(
    JSON.stringify(redactor.json(value)),
    '{"apiKey":"***","client_secret":"***","password":{"type":"string"},"max_tokens":5,"stop_token":"","__proto__":{"token":"***"},"key":"C major","list":[{"accessToken":"***"},null,true]}',
  )
})

test("JSON that is nested beyond reason is cut, not followed", async (t) => {
  const deep: unknown = JSON.parse(`${"[".repeat(5_000)}${"]".repeat(5_000)}`)
  const json = asJson(deep)
  t.ok(json !== undefined && JSON.stringify(new Redactor().json(json)).length < 200)
  t.ok(JSON.stringify(new Redactor().json(deep as never)).length < 200)
})

test("notes keep what is data, and lose what is none", async (t) => {
  const notes = { a: 1, b: undefined, c: () => {}, d: new Map(), e: [1n, "x"], f: { g: null, h: Number.NaN } }
  t.strictSame(asJson(notes), { a: 1, e: [null, "x"], f: { g: null, h: null } })
})

test("what looks like a credential is blanked out in messages", async (t) => {
  const cases: readonly [string, string][] = [
    ["key sk-proj-abcdefgh12345", "key sk-***"],
    ["Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"],
    ["basic dXNlcjpwYXNz", "basic ***"],
    ["/v1?api_key=abc&x=1", "/v1?api_key=***&x=1"],
    ["/v1?key=abc def", "/v1?key=*** def"],
    ["http://user:secret@proxy.test:1/", "http://user:***@proxy.test:1/"],
    ["a task-force at risk-level", "a task-force at risk-level"],
  ]
  for (const [text, blanked] of cases) t.equal(new Redactor().text(text), blanked)
})

test("a word that stood where a key has to stand is no secret elsewhere, and a key is", (t) => {
  const words = [
    "undefined",
    "changeme",
    "function",
    "production",
    "ollama-local",
    "test-key",
    "correct horse",
    "12345678",
  ]
  for (const word of words) {
    const redactor = new Redactor()
    redactor.learn([
      ["authorization", `Bearer ${word}`],
      ["x-api-key", word],
      ["proxy-authorization", `Basic ${Buffer.from(`me:${word}`).toString("base64")}`],
    ])
    const text = `if (value === ${word}) return`
    t.equal(redactor.text(text), text)
    t.equal(redactor.field("x-api-key", word), "***", "where it stood it is blanked all the same")
  }
  for (const key of ["hunter2!hunter2", "kq8Zt2VbXw", "aVeryLongWordWithoutAnyDigitQxzWvbKpTr", "0123456789012345"]) {
    const redactor = new Redactor()
    redactor.learn([["authorization", `Bearer ${key}`]])
    t.equal(redactor.text(`no key ${key} here`), "no key *** here", key)
  }
  t.end()
})

test("a secret that was forgotten for others is known again when it comes again", (t) => {
  const redactor = new Redactor()
  const key: readonly [string, string] = ["authorization", "Bearer plain-word-of-a-client"]
  redactor.learn([key])
  for (let i = 0; i < 100; i++) redactor.learn([["cookie", `sid=aB3dE5gH7jK9mN1p${i}Q`]])
  t.equal(redactor.text("plain-word-of-a-client"), "plain-word-of-a-client")
  redactor.learn([key])
  redactor.learn([key])
  t.equal(redactor.text("plain-word-of-a-client"), "***")
  t.end()
})

test("a value that is too long to be matched is blanked with the text around it", async (t) => {
  const redactor = new Redactor()
  for (const lead of ["sk-", "Bearer ", "password="]) {
    const text = `x ${lead}${"a1".repeat(6_000_000)}`
    t.notMatch(redactor.text(text), /a1a1/)
    t.notMatch(redactor.wire(text), /a1a1/)
    t.strictSame(redactor.json({ other: "y", text }), { other: "y", text: redactor.text(text) })
  }
})
