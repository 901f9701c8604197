/**
 * The table of secrets that pass through a proxy: where each stands, what it is called, how it begins. The values are
 * made here, at the start of a test: what looks like a key is never committed.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"

type Place =
  | "request-field"
  | "query"
  | "json-field"
  | "form-field"
  | "part-field"
  | "request-text"
  | "response-field"
  | "error-text"
  | "answer-text"
  | "option"

/** One form, with a value of its own. */
export interface SecretForm {
  readonly place: Place
  readonly name: string
  /** What must be seen nowhere. */
  readonly core: string
  /** The value with what belongs to it: "sk-...". */
  readonly value: string
  /** A sentence in which it stands as people write it. */
  readonly text: string
  /** A field with it. */
  readonly field: readonly [string, string]
  /** A parameter with it. */
  readonly parameter: string
  /** Members of a body with it. */
  readonly members: Readonly<Record<string, unknown>>
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
const ALPHABET = `${LETTERS}${LETTERS.toLowerCase()}0123456789`

let drawn = 0

/** The same in each run: in prose, three in ten thousand such values look like words to the redactor, and are shown. */
function random(chars: number, alphabet = ALPHABET): string {
  drawn += 1
  const bytes = createHash("shake256", { outputLength: chars }).update(`secret ${drawn}`).digest()
  return Array.from(bytes, (byte) => alphabet[byte % alphabet.length]).join("")
}

export function secretForms(): SecretForm[] {
  const url = new URL("../fixtures/secrets/forms.json", import.meta.url)
  const rows: { place: Place; name: string; prefix: string }[] = JSON.parse(readFileSync(url, "utf8"))
  return rows.map(({ place, name, prefix }) => {
    const core = name === "AKIA" ? random(16, `${LETTERS}0123456789`) : random(40)
    const value = name === "AKIA" ? `AKIA${core}` : name === "JWT" ? `${prefix}${random(20)}.${core}` : prefix + core
    const text = `see ${textOf(name, value)} and go on`
    const parameter = `${name.split(/[= (]/, 1)[0]}=${value}`
    return { place, name, core, value, text, field: fieldOf(name, value), parameter, members: membersOf(name, value) }
  })
}

const basic = (value: string) => Buffer.from(`me:${value}`).toString("base64")

function textOf(name: string, value: string): string {
  switch (name) {
    case "Bearer":
      return `curl -H "Authorization: Bearer ${value}"`
    case "Basic":
      return `Authorization: Basic ${basic(value)}`
    case "URL userinfo":
      return `https://me:${value}@host.example/x`
    case "postgres":
      return `postgres://me:${value}@db.example:5432/app`
    case "JSON api_key":
      return JSON.stringify({ api_key: value })
    case "AccountKey=":
      return `DefaultEndpointsProtocol=https;AccountName=me;AccountKey=${value}==;EndpointSuffix=core.windows.net`
    case "echoed in error":
      return `Incorrect API key provided: ${value}.`
    default:
      return name.endsWith("=") ? `${name}${value}` : value
  }
}

function fieldOf(name: string, value: string): readonly [string, string] {
  switch (name) {
    case "Authorization Bearer sk-":
      return ["Authorization", `Bearer ${value}`]
    case "Proxy-Authorization":
      return [name, `Basic ${basic(value)}`]
    case "Cookie":
    case "Set-Cookie":
      return [name, `sid=${value}`]
    case "Location sig":
      return ["Location", `https://files.example/x?sig=${value}`]
    case "sigv4": {
      const scope = "20260101/us-east-1/bedrock/aws4_request"
      return ["Authorization", `AWS4-HMAC-SHA256 Credential=me/${scope}, SignedHeaders=host, Signature=${value}`]
    }
    default:
      return [name.split(" ", 1)[0] ?? "", value]
  }
}

function membersOf(name: string, value: string): Record<string, unknown> {
  switch (name) {
    case "URL userinfo":
      return { server_url: `https://me:${value}@host.example/x` }
    case "mcp header":
      return { tools: [{ type: "mcp", headers: { Authorization: `Bearer ${value}`, "X-Custom-Key": value } }] }
    case "metadata.secret":
      return { metadata: { secret: value } }
    default:
      return { [name.split(" ", 1)[0] ?? ""]: value }
  }
}

/** Where in a text a secret's random part is, whole or a dozen characters of it. */
export function leaks(text: string, { core }: SecretForm): boolean {
  for (let at = 0; at + 12 <= core.length; at++) if (text.includes(core.slice(at, at + 12))) return true
  return text.includes(basic(core))
}
