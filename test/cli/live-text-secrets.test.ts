/** Secrets in a text that comes in pieces: nothing of them is printed, wherever the pieces are cut. */
import { randomBytes } from "node:crypto"
import { test } from "tap"
import { LiveText } from "../../lib/cli/terminal/live-text.ts"
import { leaks, secretForms } from "../helpers/secret-forms.ts"

const key = () => randomBytes(20).toString("hex")

function fed(pieces: readonly string[]): string {
  const live = new LiveText("")
  return pieces.map((piece) => live.feed(piece)).join("") + live.finish()
}

test("what stands before a secret waits with it", async (t) => {
  const secret = key()
  for (const lead of [
    "api_key = ",
    '"password": "',
    "OPENAI_KEY=",
    "Basic ",
    "Authorization: Bearer ",
    "https://me:",
  ]) {
    const value = lead === "Basic " ? Buffer.from(`me:${secret}`).toString("base64") : secret
    const text = `see ${lead}${value}@host and "more"`
    const shown = fed([text])
    t.notMatch(shown, value.slice(0, 12))
    for (let cut = 0; cut <= text.length; cut++)
      t.equal(fed([text.slice(0, cut), text.slice(cut)]), shown, `${lead} cut at ${cut}`)
    t.equal(fed([...text]), shown, `${lead} by the character`)
  }
})

test("a private key is not shown, however many lines it has, and what follows it is", async (t) => {
  const lines = Array.from({ length: 600 }, key)
  const text = `key:\n-----BEGIN RSA PRIVATE KEY-----\n${lines.join("\n")}\n-----END RSA PRIVATE KEY-----\nthen more`
  for (const size of [1, 7, 100, 5_000, text.length]) {
    const shown = fed(text.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [])
    for (const line of lines) if (shown.includes(line.slice(0, 12))) t.fail(`${size}: ${line}`)
    t.match(shown, /^key:\n\*\*\*/)
    t.match(shown, "then more")
  }
})

test("of a secret that is longer than a word can be, nothing is shown", async (t) => {
  const secret = `eyJhbGciOiJIUzI1NiJ9.${Array.from({ length: 60 }, key).join("")}.${key()}`
  const text = `token ${secret} end`
  for (const size of [1, 40, 700]) {
    const shown = fed(text.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [])
    t.equal(shown, "token *** end", `pieces of ${size}`)
  }
})

test("a secret that ends like a name waits with what stands before it", async (t) => {
  const letters = randomBytes(40 * 4_000)
    .toString("base64")
    .replace(/[^A-Za-z0-9]/g, "")
  const passwords = letters.match(/.{40}/g) ?? []
  const pairs = passwords.map((password) => Buffer.from(`me:${password}`).toString("base64"))
  const named = pairs.filter((pair) => /(?:key|sig|pwd|jwt)\w{0,16}==/i.test(pair))
  t.ok(named.length > 0)
  for (const pair of named.slice(0, 10)) {
    const text = `see Authorization: Basic ${pair} and go on`
    for (let cut = 0; cut <= text.length; cut++)
      t.equal(fed([text.slice(0, cut), text.slice(cut)]), "see Authorization: Basic *** and go on", `cut at ${cut}`)
  }
})

test("a secret at the end of a word that is too long to wait for is not shown, wherever it is cut", async (t) => {
  for (const form of secretForms().filter(({ place }) => place === "answer-text" || place === "request-text")) {
    // One that ends like a name hides the next word as well: too much, never too little.
    if (/(?:key|sig|pwd|jwt|token)[\w=]{0,18} and go on$/i.test(form.text)) continue
    const said = `${"/x".repeat(300)}/${form.text.slice("see ".length)}`
    for (let cut = 590; cut <= said.length; cut++) {
      const shown = fed([said.slice(0, cut), said.slice(cut)])
      // A long word is broken at the edge: what is shown of a secret may stand on two lines.
      if (leaks(shown, form) || leaks(shown.replace(/\n */g, ""), form))
        t.fail(`${form.name} cut at ${cut}: ${shown.slice(590)}`)
      if (!/\sand\s+go\s+on$/.test(shown))
        t.fail(`${form.name} cut at ${cut}: what follows is missing: ${JSON.stringify(shown.slice(590))}`)
    }
  }
})

test("a text without spaces does not wait for one", async (t) => {
  t.equal(new LiveText("").feed("你好世界abc"), "你好世界")
})

test("of a private key that is too long to be held nothing is shown, wherever the pieces are cut", async (t) => {
  const lines = Array.from({ length: 400 }, (_, i) => `${String(i).padStart(4, "0")}${"ABCDEFGHIJ".repeat(6)}`)
  const key = `-----BEGIN RSA PRIVATE KEY-----\n${lines.join("\n")}\n-----END RSA PRIVATE KEY-----\nafter`
  for (const size of [1, 5, 8, 64, 1_000]) {
    const live = new LiveText("")
    let out = ""
    for (let at = 0; at < key.length; at += size) out += live.feed(key.slice(at, at + size))
    out += live.finish()
    t.match(out, /after$/, `${size}`)
    t.notMatch(out, /[A-J]{2}|\d{3}/, `${size}`)
  }
  const cut = new LiveText("")
  t.notMatch(cut.feed(key.slice(0, 20_000)) + cut.feed(key.slice(20_000, 25_003)) + cut.finish(), /[A-J]{4}|\d{3}/)
})
