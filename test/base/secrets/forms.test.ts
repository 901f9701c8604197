/** What is a secret in a text, and what is code and prose: on tables, on the code of this program and of packages. */
import { randomBytes } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { blankForms } from "../../../lib/base/secrets/forms.ts"
import { Redactor } from "../../../lib/base/secrets/redactor.ts"
import { steepGrowth } from "../../helpers/growth.ts"

const key = () => randomBytes(20).toString("hex")

test("a key is found behind an escaped line break, an escape, a colour and a sign", async (t) => {
  const secret = `sk-ant-api03-${key()}`
  const inJson = JSON.stringify({ content: `first\n${secret}\tand\u0001${secret}` })
  t.match(inJson, "\\nsk-ant-")
  t.equal(blankForms(inJson), '{"content":"first\\nsk-***\\tand\\u0001sk-***"}')
  t.equal(blankForms(JSON.stringify(inJson)), JSON.stringify('{"content":"first\\nsk-***\\tand\\u0001sk-***"}'))
  for (const before of ["%0A", "\u001b[31m", "key=", "(", "[", "_", ":", "你"])
    t.equal(blankForms(`a ${before}${secret}`), `a ${before}sk-***`)
  t.equal(blankForms(`path=C:\\npassword=${key()}`), "path=C:\\npassword=***")
})

test("names of keys in shells, connection strings and configurations", async (t) => {
  const texts: [string, string][] = [
    ["OPENAI_KEY=", ""],
    ["export MY_SERVICE_KEY=", ""],
    ["AWS_SECRET_ACCESS_KEY=", ""],
    ["AZURE_OPENAI_API_KEY_2 = ", ""],
    ["AccountName=me;AccountKey=", "==;EndpointSuffix=core"],
    ["SharedAccessKey=", ""],
    ["clientSecret: '", "'"],
    ['"refreshToken":"', '"'],
    ['config["api_key"] = "', '"'],
    ["password := `", "`"],
    ["--token=", ""],
    ["token%3D".replace("%3D", "="), "&x=1"],
    ["Authorization: Bearer ", ""],
    ["Authorization: token ", ""],
    ["Proxy-Authorization: NTLM ", ""],
    ["git clone https://", "@github.example/x"],
    ["Signature=", ", x"],
  ]
  for (const [before, behind] of texts) {
    t.equal(blankForms(`see ${before}${key()}${behind} now`), `see ${before}***${behind.replace("==", "")} now`, before)
  }
})

test("code and prose are left alone", async (t) => {
  for (const text of [
    "const token = getNextToken2024(reader)",
    "password = generatePassword1(length)",
    "const token = next_token_2024; secret = load_secret_v2",
    "let apiKey = process.env.npm_config_registry_url2",
    "key: C major, cache_key=users2026, PRIMARY_KEY: id",
    "token: o200k_base, eos_token = 'aB3xK9mQ2z', next_page_token = 'aB3xK9mQ2zaB3'",
    "hf_transformers_config and npm_package_manager_version, sk-circle-fade-dot",
    "tokens: 1234567890, secret: [a1B2c3], password=$" + "{PASSWORD_2024}",
    "http://user:password@host and https://$" + "{user}:$" + "{password}@host",
    "-----BEGIN PRIVATE KEY----- begins a key",
    "Bearer realm and basic understanding, digest sha256-with-rsa",
    "see /v1?keyboard=qwerty9&page=2",
  ])
    t.equal(blankForms(text), text)
})

/** A folder's source and documents. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return filesBelow(path)
    return /\.(ts|js|[cm][jt]s|md|json)$/.test(entry.name) ? [path] : []
  })
}

/** What is changed all the same: file, line, and the secret that stands there. */
const REAL = new Map([["node_modules/undici/README.md:3", "codecov's token in the address of a badge"]])

test("ordinary code is not changed: this program's and that of five packages", async (t) => {
  const packages = ["undici", "kysely", "yargs", "ajv", "fast-check"].map((name) => `node_modules/${name}`)
  for (const folder of ["bin", "lib", "addons", "certs", ...packages]) {
    let bytes = 0
    const files = filesBelow(folder)
    const changed = files.flatMap((path) => {
      const text = readFileSync(path, "utf8")
      bytes += text.length
      const kept = blankForms(text)
      if (kept === text) return []
      const after = kept.split("\n")
      return text.split("\n").flatMap((line, index) => (line === after[index] ? [] : [`${path}:${index + 1}`]))
    })
    t.same(
      changed.filter((place) => !REAL.has(place)),
      [],
      folder,
    )
    t.comment(`${folder}: ${files.length} files, ${(bytes / 1e6).toFixed(2)} MB, ${changed.length} lines changed`)
  }
})

test("a text that was made to be slow costs no more than its length", async (t) => {
  const parts = ["a", "\n", '"', "\\", '\\"', "\ud800", "-eyJ", "_eyJ-", "\\neyJ"]
  const leads = ["://a", "://a:", "?a=", "?a_", "&key=", "sk-", "-sk-", "AIza", "AKIA", "xoxb-", "hf_", "ya29.", "SG."]
  const named = [
    "password=",
    'token="',
    "-----BEGIN PRIVATE KEY-----\nAAAAAAAAAAAAAAAA",
    "-----END ",
    "bearer ",
    "= ",
    ":",
  ]
  const members = ['"key":', '"token":"', '"token":["a",', "%0A"]
  const redactor = new Redactor()
  redactor.know(["a".repeat(40)])
  for (const part of [...parts, ...leads, ...named, ...members]) {
    const steep = steepGrowth(60_000, (chars) => {
      const text = part.repeat(Math.floor(chars / part.length))
      return () => redactor.body(text)
    })
    t.equal(steep, undefined, JSON.stringify(part))
  }
})
