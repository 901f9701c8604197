/** Bodies of multipart/form-data: parts that are named like secrets lose their values. */
import { test } from "tap"
import { Redactor } from "../../../lib/base/secrets/redactor.ts"
import { responseText } from "../../../lib/cli/terminal/flow-text.ts"
import { endedFlow } from "../../helpers/shown-flow.ts"

const CORE = "plain words, 4 of them"
const TYPE = "multipart/form-data; boundary=----x7"

/** A body with one part before and one behind. */
function bodyWith(head: string, value: string, lineEnd = "\r\n", boundary = "------x7"): string {
  const part = (fields: string, text: string) => [boundary, fields, "", text, ""].join(lineEnd)
  const purpose = 'Content-Disposition: form-data; name="purpose"'
  return `${part(purpose, "fine-tune")}${part(head, value)}${part(purpose, "last\n--not the end")}${boundary}--${lineEnd}`
}

test("a part that is named like a secret loses its value, however its head is written", async (t) => {
  const heads = [
    'Content-Disposition: form-data; name="api_key"',
    "Content-Disposition: form-data; name=token",
    'CONTENT-DISPOSITION: FORM-DATA; NAME="Password"',
    'content-disposition:form-data;name="client-secret"',
    'Content-Type: text/plain; charset="utf-8"\r\nContent-Disposition: form-data; name="apiKey"\r\nX-More: 1',
    'Content-Disposition: form-data; filename="a; name=b.txt"; name="private_key"',
    'Content-Disposition: form-data;\r\n name="access_token"',
    'Content-Disposition: form-data; name="user[password]"',
    'Content-Disposition: form-data; name="api%5Fkey"',
    'Content-Disposition: form-data; name="api\\_key"',
    "Content-Disposition: form-data; name*=UTF-8''api%5Fkey",
    'Content-Disposition: form-data; name = "key"',
  ]
  const redactor = new Redactor()
  const values = [CORE, `${CORE}\r\n\r\n--${CORE}\r\n------x\n${CORE}`, `{"a":"${CORE}"}`, ` ${CORE}\r\n`]
  for (const head of heads)
    for (const value of values)
      for (const lineEnd of ["\r\n", "\n"]) {
        const fields = head.replaceAll("\r\n", lineEnd)
        const body = bodyWith(fields, value, lineEnd)
        const kept = bodyWith(fields, "***", lineEnd)
        for (const type of [TYPE, "text/plain", ""]) t.equal(redactor.body(body, type), kept, fields)
        t.equal(redactor.wire(`a preamble${lineEnd}${body}`, TYPE), `a preamble${lineEnd}${kept}`)
      }
})

test("nothing of it is seen where the body is cut", async (t) => {
  const body = bodyWith('Content-Disposition: form-data; name="password"', `${CORE}\r\n${CORE}`)
  const redactor = new Redactor()
  for (let cut = 0; cut <= body.length; cut++) {
    if (redactor.body(body.slice(0, cut), TYPE).includes("plain")) t.fail(`cut at ${cut}`)
    if (redactor.wire(body, TYPE, cut).includes("plain")) t.fail(`shown up to ${cut}`)
  }
})

test("a form within a part, or without its boundary, is read the same", async (t) => {
  const redactor = new Redactor()
  const inner = bodyWith('Content-Disposition: form-data; name="token"', CORE, "\r\n", "--inner")
  const kept = inner.replace(CORE, "***")
  const head = 'Content-Disposition: form-data; name="file"; filename="form"'
  t.equal(redactor.body(bodyWith(head, inner), TYPE), bodyWith(head, kept))
  t.equal(
    redactor.body(`content-disposition: form-data; name=token\n\n${CORE}\n`),
    "content-disposition: form-data; name=token\n\n***",
  )
})

test("other parts keep what they hold", async (t) => {
  const redactor = new Redactor()
  for (const head of [
    'Content-Disposition: form-data; name="max_tokens"',
    'Content-Disposition: form-data; name="file"; filename="token"',
    'Content-Disposition: attachment; name="token"',
    'X-Note: form-data; name="token"',
  ]) {
    const body = bodyWith(head, CORE)
    t.equal(redactor.body(body, TYPE), body, head)
  }
  const empty = bodyWith('Content-Disposition: form-data; name="token"', "")
  t.equal(redactor.body(empty, TYPE), empty)
})

test("a host that repeats such a body shows nothing of it, in text and in JSON", async (t) => {
  const body = bodyWith('Content-Disposition: form-data; name="api_key"', CORE)
  for (const [type, said] of [
    ["text/plain", body],
    ["application/json", JSON.stringify({ error: { message: `cannot read ${body}` } })],
    ["application/json", JSON.stringify({ error: { message: JSON.stringify({ body }) } })],
  ] as const) {
    const text = responseText(await endedFlow({}, { status: 400, headers: [["Content-Type", type]], body: said }))
    t.match(text, "form-data; name=")
    t.match(text, "fine-tune")
    t.notMatch(text, "plain words")
  }
})
