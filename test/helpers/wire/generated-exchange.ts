/**
 * Exchanges made from a seed: odd but valid field lines, bodies in every framing, written in random pieces. The seed is
 * all that is needed to see a failure again.
 */
import { createHash } from "node:crypto"

/** Numbers from a seed (mulberry32): the same ones each time. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** 0 <= n < 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  /** A whole number from 0 to `below - 1`. */
  below(below: number): number {
    return Math.floor(this.next() * below)
  }

  pick<T>(...items: readonly T[]): T {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error("nothing to pick from")
    return item
  }
}

export interface GeneratedMessage {
  /** Field lines without framing, as they stand on the wire. */
  readonly lines: readonly string[]
  readonly framing: "none" | "length" | "chunked" | "until-close"
  readonly body: Buffer
  readonly trailers: readonly string[]
}

export interface GeneratedExchange {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly reason: string
  readonly request: GeneratedMessage
  readonly response: GeneratedMessage
}

const BODY_BYTES_MAX = 50_000

export function generateExchange(random: Random, id: number): GeneratedExchange {
  const method = random.pick("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "M-SEARCH")
  const status = random.pick(200, 200, 200, 201, 204, 299, 304, 400, 404, 429, 500, 599)
  const bodiless = method === "HEAD" || status === 204 || status === 304
  return {
    method,
    path: `/${id}?${text(random, PATH_CHARS, 20)}`,
    status,
    reason: random.pick("OK", "", "Some Reason", "d\xe9j\xe0 vu"),
    request: generateMessage(random, random.pick("none", "length", "chunked")),
    response: generateMessage(random, bodiless ? "none" : random.pick("length", "chunked", "until-close")),
  }
}

function generateMessage(random: Random, framing: GeneratedMessage["framing"]): GeneratedMessage {
  const size = random.next() < 0.1 ? random.below(BODY_BYTES_MAX) : random.below(2_000)
  const body = Buffer.alloc(framing === "none" ? 0 : random.pick(0, size, size, size))
  for (let index = 0; index < body.length - 3; index += 4) body.writeUInt32LE(random.below(2 ** 32), index)
  const trailers = framing === "chunked" && random.next() < 0.3 ? fieldLines(random, 3) : []
  return { lines: fieldLines(random, 12), framing, body, trailers }
}

const PATH_CHARS = "abcXYZ019-._~!$&'()*+,;=:@/?%20\"<>[]{}|^`"
const NAME_CHARS = "abcxyzABCXYZ0189-_.!#$%&'*+^`|~"
const VALUE_CHARS = `${NAME_CHARS} \t()<>@,;:\\"/[]?={}\x80\xe9\xff`

function fieldLines(random: Random, max: number): string[] {
  const lines: string[] = []
  for (let left = random.below(max + 1); left > 0; left--) {
    const name =
      random.next() < 0.2 ? random.pick("X-Dup", "x-dup", "__proto__", "Cookie") : `x${text(random, NAME_CHARS, 10)}`
    lines.push(
      `${name}:${random.pick("", " ", "  ", "\t", " \t")}${text(random, VALUE_CHARS, 40)}${random.pick("", " ", "\t")}`,
    )
  }
  return lines
}

function text(random: Random, chars: string, max: number): string {
  let made = ""
  for (let left = random.below(max); left > 0; left--) made += chars[random.below(chars.length)] ?? ""
  return made
}

/** The message behind its start line, framed, as pieces to write one after the other. */
export function toPieces(random: Random, start: string, message: GeneratedMessage): Buffer[] {
  const { lines, framing, body, trailers } = message
  const fields = [...lines]
  const at = random.below(fields.length + 1)
  if (framing === "length") fields.splice(at, 0, `content-Length: ${body.length}`)
  if (framing === "chunked") fields.splice(at, 0, "Transfer-encoding: chunked")
  const head = Buffer.from(`${start}\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n`, "latin1")
  const framed = framing === "chunked" ? chunked(random, body, trailers) : body
  return cut(random, Buffer.concat([head, framed]))
}

function chunked(random: Random, body: Buffer, trailers: readonly string[]): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const size = Math.min(body.length - at, 1 + random.below(random.pick(3, 200, 20_000)))
    pieces.push(Buffer.from(`${size.toString(16)}${random.pick("", "", ";x=y")}\r\n`), body.subarray(at, at + size))
    pieces.push(Buffer.from("\r\n"))
    at += size
  }
  return Buffer.concat([...pieces, Buffer.from(`0\r\n${trailers.map((line) => `${line}\r\n`).join("")}\r\n`, "latin1")])
}

function cut(random: Random, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const size = random.next() < 0.7 ? bytes.length - at : 1 + random.below(bytes.length - at)
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

/** Fields that frame a message or belong to one hop. */
const NOT_KEPT: ReadonlySet<string> = new Set(["content-length", "transfer-encoding", "connection"])

/** A digest of the kept field lines and the body; `host`: whether the Host line counts. */
export function digest(lines: readonly string[], body: Buffer, host: boolean): string {
  const hash = createHash("sha256")
  for (const line of lines) {
    const name = line.slice(0, line.indexOf(":")).toLowerCase()
    if (!NOT_KEPT.has(name) && (host || name !== "host")) hash.update(`${line}\n`, "latin1")
  }
  return hash.update("\n").update(body).digest("hex")
}
