/** Secrets in percent-encoding (RFC 3986, section 2.1), as URLs and forms have them, and known ones in Basic's base64. */
import { randomBytes } from "node:crypto"
import { test } from "tap"
import { blankForms } from "../../../lib/base/secrets/forms.ts"
import { Redactor } from "../../../lib/base/secrets/redactor.ts"
import { requestText, responseText } from "../../../lib/cli/terminal/flow-text.ts"
import { LiveText } from "../../../lib/cli/terminal/live-text.ts"
import { testFlow } from "../../../lib/testing/flows.ts"
import { leaks, type SecretForm, secretForms } from "../../helpers/secret-forms.ts"
import { endedFlow } from "../../helpers/shown-flow.ts"

const FORMS = secretForms()
const FORM_TYPE = "application/x-www-form-urlencoded"

const hex = (char: string) => [...Buffer.from(char)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")
const signs = (text: string) => text.replace(/[^A-Za-z0-9]/g, (sign) => hex(sign).toUpperCase())

/** The ways in which programs encode, and none does. */
const ENCODINGS: Readonly<Record<string, (text: string) => string>> = {
  "as a component": encodeURIComponent,
  "every sign": signs,
  "every sign, in small letters": (text) => text.replace(/[^A-Za-z0-9]/g, hex),
  "every character": (text) => [...text].map(hex).join(""),
  "some letters": (text) => text.replace(/[aeks1-4_-]/g, hex),
  twice: (text) => encodeURIComponent(signs(text)),
  "three times": (text) => encodeURIComponent(encodeURIComponent(signs(text))),
}

const decoded = (text: string) =>
  text.replace(/%(?:25)*([0-7][0-9a-f])/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))

/** Text in which the redactor finds the form when it is not encoded, and the redactor. */
function sentence({ place, field, value, parameter, members, text }: SecretForm): [string, Redactor] {
  const redactor = new Redactor()
  if (place.endsWith("-field")) redactor.learn([field])
  if (place === "option") redactor.know([value])
  if (place === "query" || place === "form-field")
    return [`see https://a.example/x?a=1&${parameter} and go on`, redactor]
  if (place === "json-field") return [`see ${JSON.stringify(members)} and go on`, redactor]
  return [text, redactor]
}

test("no form is seen that is percent-encoded, in no kind of text", async (t) => {
  for (const [name, encode] of Object.entries(ENCODINGS)) {
    const seen: string[] = []
    for (const form of FORMS) {
      const [said, redactor] = sentence(form)
      if (leaks(redactor.text(said), form)) continue // It is found by what only a reader of JSON sees.
      const written = encode(said)
      const url = `https://host.example/v1?a=1&q=${written}&z=1#end`
      const shown = {
        text: redactor.json(`went to ${written} there`),
        url: redactor.url(url),
        message: redactor.text(`connect ${url}: refused`),
        form: redactor.body(`a=1&q=${written}`, FORM_TYPE),
        "form with +": redactor.body(`a=1&q=${written.replaceAll("%20", "+")}`, FORM_TYPE),
        "form at detail 4": redactor.wire(`a=1&q=${written}`, FORM_TYPE),
        location: redactor.field("Location", url),
        JSON: redactor.body(JSON.stringify({ error: { message: `no ${url}` } })),
      }
      for (const [where, text] of Object.entries(shown)) {
        if (typeof text !== "string" || leaks(text, form) || leaks(decoded(text), form))
          seen.push(`${where}: ${form.place} ${form.name}: ${text}`)
        else if (!/go.{1,9}on/.test(decoded(text)) && place(form)) seen.push(`${where} loses ${form.name}: ${text}`)
      }
    }
    t.same(seen.slice(0, 3), [], `${name}: ${seen.length}`)
  }
})

/** Whether what follows stands behind a space, and is no part of the value. */
const place = ({ name }: SecretForm) => !/Basic|password=|KEY=|query/.test(name)

test("names that are encoded are the same names", async (t) => {
  const redactor = new Redactor()
  for (const name of ["api_key", "api-key", "X-Amz-Signature", "client.secret", "password", "key", "sig"])
    for (const [how, encode] of Object.entries(ENCODINGS)) {
      if (how === "as a component" || encode(name) === name) continue
      const written = encode(name)
      t.equal(redactor.url(`/v1?a=b&${written}=v&c=d`), `/v1?a=b&${written}=***&c=d`)
      t.equal(redactor.body(`${written}=short+word&c=d`, FORM_TYPE), `${written}=***&c=d`)
      t.equal(redactor.field("Location", `https://h/x?${written}=v`), `https://h/x?${written}=***`)
      const learning = new Redactor()
      learning.learn([], `https://h/x?${written}=plain-words-of-it`)
      t.equal(learning.text("no plain-words-of-it"), "no ***")
    }
  t.equal(
    redactor.url("/go?next=https%3A%2F%2Fh%2F%3Ftoken%3Dv%26a%3Db"),
    "/go?next=https%3A%2F%2Fh%2F%3Ftoken%3D***%26a%3Db",
  )
  t.equal(redactor.url("/go?next=https://h/?token=v&a=b"), "/go?next=https://h/?token=***&a=b")
  t.equal(redactor.url("/x?json=%7B%22password%22%3A%22v%22%7D"), "/x?json=%7B%22password%22%3A%22***%22%7D")
  t.equal(redactor.body("a=%7B%22password%22%3A%22two+words%22%7D", FORM_TYPE), "a=%7B%22password%22%3A%22***%22%7D")
})

test("a secret that stands beside its encoding is blanked in both", async (t) => {
  const key = randomBytes(20).toString("hex")
  t.equal(blankForms(`sk-${key} is sk%2D${key} and Bearer%20${key}, 50%`), "sk-*** is sk%2D*** and Bearer%20***, 50%")
  t.equal(new Redactor().url(`/x?q=Bearer+${key}&r=1`), "/x?q=Bearer+***&r=1")
})

test("what is encoded and no secret stays as it came", async (t) => {
  const redactor = new Redactor()
  for (const text of [
    "/v1?q=the%20token%20of%20gpt%2D4%2D0125&page%5Ftoken=2&max_tokens=5",
    "https://h/a%20task%2Dforce%3A%20at%20risk%2Dlevel?keyboard=qwerty%39",
    "100% of 25%25 and %zz, %c3%a9 %F0%9F%98%80, %",
    "Bearer%20realm and sk%2Dlearn, key%3DC%20major",
  ]) {
    t.equal(redactor.url(text), text)
    t.equal(redactor.text(text), text)
    t.equal(redactor.body(text, "text/plain"), text)
  }
})

test("a key that is known is known in base64, whoever's name stands before it", async (t) => {
  for (const secret of ["of only plain words", "pÄss:wörd~with?signs", randomBytes(20).toString("hex"), "12345678"]) {
    const redactor = new Redactor()
    redactor.know([secret])
    for (const user of ["", "a", "me", "you", "a longer name"])
      for (const behind of ["", "x", "\n"])
        for (const alphabet of ["base64", "base64url"] as const) {
          const pair = Buffer.from(`${user}:${secret}${behind}`).toString(alphabet)
          for (const text of [pair, encodeURIComponent(pair), `said ${pair}`]) {
            const shown = redactor.text(text)
            t.match(shown, "***", text)
            const rest = Buffer.from(decodeURIComponent(shown).replace(/^said |\*+.*$/g, ""), "base64").toString(
              "latin1",
            )
            t.ok(rest.length <= user.length + 2, shown)
          }
        }
  }
})

test("encoded secrets in pieces are shown nowhere, live or at the end", async (t) => {
  for (const form of FORMS.filter(({ place }) => place === "request-text")) {
    for (const written of [
      signs(form.text),
      encodeURIComponent(form.text),
      form.text.replaceAll("_", "%5F").replace(/[:=]/, hex),
    ]) {
      for (let cut = 0; cut <= written.length; cut++) {
        const pieces = [written.slice(0, cut), written.slice(cut)]
        const live = new LiveText("")
        const printed = pieces.map((piece) => live.feed(piece)).join("") + live.finish()
        const body = pieces
          .map((content) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`)
          .join("")
        const headers: [string, string][] = [["Content-Type", "text/event-stream"]]
        const text = responseText(await endedFlow({}, { status: 200, headers, body }))
        for (const one of [printed, text]) if (leaks(one, form)) t.fail(`${form.name} cut at ${cut}: ${one}`)
      }
    }
  }
})

test("a form's body is printed without what its encoded names hide", async (t) => {
  const headers: [string, string][] = [["Content-Type", FORM_TYPE]]
  const { flow } = await testFlow({ method: "POST", headers, text: "grant=x&client%5Fsecret=two+words&scope=all" })
  t.match(requestText(flow), "grant=x&client%5Fsecret=***&scope=all")
})
