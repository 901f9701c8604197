/**
 * Messages for the differential fuzz: valid ones made from parts, then broken in the ways that smugglers use.
 * Everything comes from one seeded generator, so a seed repeats a run.
 */

/** Mulberry32: 32 bits of state are enough to choose test cases. */
export class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** An integer from 0 to `sides - 1`. */
  below(sides: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % sides
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0
  }

  pick<T>(choices: readonly T[]): T {
    const choice = choices[this.below(choices.length)]
    if (choice === undefined) throw new RangeError("pick from nothing")
    return choice
  }
}

const METHODS = ["GET", "GET", "POST", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "M-SEARCH"]
const TARGETS = ["/", "/v1/chat/completions", "/a?b=c&d=%20", "http://a.example/x", "/a//b;c", "/?q=[1]"]
const STATUSES = ["200 OK", "200 OK", "200 OK", "404 Not Found", "204 No Content", "304 Not Modified", "500 ", "206 P"]
const INTERIM = ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]
const FIELDS = [
  "Accept: */*",
  "Accept-Encoding: gzip, deflate",
  "Authorization: Bearer sk-x",
  "Connection: close",
  "Connection: keep-alive",
  "Connection: keep-alive, X-A",
  "Connection: Upgrade",
  "Content-Type: application/json",
  "Cookie: a=b; c=d",
  "Expect: 100-continue",
  "Keep-Alive: timeout=5",
  "TE: trailers",
  "Upgrade: websocket",
  "X-A:",
  "X-A: \t1 \t",
  "x-a:2",
  "X-\x21\x23$%&'*+.^_`|~: tokens",
  "X-Text: caf\xe9, \xff",
  "__proto__: 1",
]
/** Lines that an attacker adds. */
const EVIL_LINES = [
  "Content-Length: 0",
  "Content-Length: 3",
  "Content-Length: +3",
  "Content-Length: 3,3",
  "Content-Length: 0x3",
  "Content-Length: 3 3",
  "Content-Length: 99999999999999999999",
  "Content-Length:",
  "Content-Length : 3",
  "Content_Length: 3",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding : chunked",
  "Transfer-Encoding: gzip, chunked",
  "Transfer-Encoding: chunked, gzip",
  "Transfer-Encoding: identity",
  "Transfer-Encoding: xchunked",
  "Transfer-Encoding: chunked;a",
  "Transfer-Encoding:\tCHUNKED\t",
  "Transfer-Encoding:\x0bchunked",
  "Transfer-Encoding",
  "Host: b",
  "Host: a b",
  "Host: a/?x",
  "Expect: nothing",
  " folded: 1",
  "\tfolded",
  "X: a\rContent-Length: 3",
  "X: a\nContent-Length: 3",
  ": no name",
  "X\0: nul",
  "X: \0",
  "X: \x7f",
]
const NASTY = [
  "\r",
  "\n",
  "\r\n",
  "\r\n\r\n",
  " ",
  "\t",
  "\0",
  ":",
  ",",
  ";",
  "\x0b",
  "\x0c",
  "\x7f",
  "\x80",
  "0",
  "f",
  '"',
  "=",
]
const VERSIONS = [
  "HTTP/1.0",
  "HTTP/1.1",
  "HTTP/0.9",
  "HTTP/1.2",
  "HTTP/2.0",
  "HTTP/1.10",
  "http/1.1",
  "HTTP/ 1.1",
  "RTSP/1.0",
]
const EXTENSIONS = ["", "", "", ";a", ";a=b", ';a="b;c"', ";a=b;c", " ;a", ";", "; a = b", ' ;a="\\""', ";a=@"]

/** A request, valid until it is mutated; latin1 text. */
export function makeRequest(dice: Dice): string {
  const version = dice.once(8) ? "1.0" : "1.1"
  if (dice.once(40)) return `CONNECT a:443 HTTP/${version}\r\nHost: a:443\r\n\r\n`
  const { lines, body } = framed(dice, version)
  const start = `${dice.pick(METHODS)} ${dice.pick(TARGETS)} HTTP/${version}`
  return `${[start, "Host: a.example", ...lines].join("\r\n")}\r\n\r\n${body}`
}

/** A response, valid until it is mutated, perhaps behind interim ones. */
export function makeResponse(dice: Dice): string {
  const version = dice.once(8) ? "1.0" : "1.1"
  const { lines, body } = framed(dice, version)
  const interim = dice.once(6) ? dice.pick(INTERIM) : ""
  return `${interim}${[`HTTP/${version} ${dice.pick(STATUSES)}`, ...lines].join("\r\n")}\r\n\r\n${body}`
}

/** Breaks the text in none to three ways. */
export function mutate(dice: Dice, text: string): string {
  let mutated = text
  for (let left = dice.pick([0, 1, 1, 1, 2, 3]); left > 0; left--) mutated = dice.pick(MUTATIONS)(dice, mutated)
  return mutated
}

function framed(dice: Dice, version: string): { lines: string[]; body: string } {
  const lines = Array.from({ length: dice.below(5) }, () => dice.pick(FIELDS))
  const kind = dice.below(version === "1.0" ? 2 : 3)
  if (kind === 0) return { lines, body: "" }
  const body = dice.pick(["", "abc", "0\r\n\r\n", '{"a":1}', "GET / HTTP/1.1\r\n\r\n", "x".repeat(40)])
  const at = dice.below(lines.length + 1)
  lines.splice(at, 0, kind === 1 ? `Content-Length: ${body.length}` : "Transfer-Encoding: chunked")
  return { lines, body: kind === 1 ? body : chunked(dice, body) }
}

function chunked(dice: Dice, body: string): string {
  let text = ""
  for (let at = 0; at < body.length; ) {
    const piece = body.slice(at, at + 1 + dice.below(20))
    text += `${dice.once(6) ? "00" : ""}${piece.length.toString(16)}${dice.pick(EXTENSIONS)}\r\n${piece}\r\n`
    at += piece.length
  }
  const trailers = dice.once(4) ? "X-Sum: 1\r\nx-sum:2\r\n" : ""
  return `${text}0${dice.pick(EXTENSIONS)}\r\n${trailers}\r\n`
}

type Mutation = (dice: Dice, text: string) => string

const MUTATIONS: readonly Mutation[] = [
  (dice, text) => splice(text, dice.below(text.length), 1, String.fromCharCode(dice.below(256))),
  (dice, text) => splice(text, dice.below(text.length), 0, dice.pick(NASTY)),
  (dice, text) => splice(text, dice.below(text.length), 0, dice.pick(NASTY)),
  (dice, text) => splice(text, dice.below(text.length), 1, dice.pick(NASTY)),
  (dice, text) => splice(text, dice.below(text.length), 1, ""),
  (dice, text) => text.slice(0, dice.below(text.length + 1)),
  (dice, text) => atLine(dice, text, (line) => `${line}\r\n${line}`),
  (dice, text) => atLine(dice, text, (line) => `${line}\r\n${dice.pick(EVIL_LINES)}`),
  (dice, text) => atLine(dice, text, (line) => `${line}\r\n${dice.pick(EVIL_LINES)}`),
  (dice, text) => atLine(dice, text, (line) => `${line}\r\n${dice.pick(FIELDS)}`),
  (dice, text) => atLine(dice, text, () => ""),
  (dice, text) => swapLines(dice, text),
  (dice, text) =>
    atNth(dice, text, /\r\n/g, () => dice.pick(["\n", "\r", "\r\r\n", "\n\r", " \r\n", "\r\n ", "\r\n\t"])),
  (dice, text) => atNth(dice, text, /[0-9a-f]+/g, (digits) => nearNumber(dice, digits)),
  (dice, text) => atNth(dice, text, /HTTP\/[0-9.]+/g, () => dice.pick(VERSIONS)),
  (dice, text) =>
    atNth(dice, text, /[:;, ]/g, (mark) => dice.pick([`${mark} `, ` ${mark}`, `\t${mark}`, `${mark}${mark}`])),
]

function splice(text: string, at: number, removed: number, added: string): string {
  return text.slice(0, at) + added + text.slice(at + removed)
}

function atLine(dice: Dice, text: string, change: (line: string) => string): string {
  return atNth(dice, text, /[^\r\n]+/g, change)
}

/** Changes one match, chosen by the dice. */
function atNth(dice: Dice, text: string, pattern: RegExp, change: (match: string) => string): string {
  const matches = [...text.matchAll(pattern)]
  if (matches.length === 0) return text
  const { index, 0: match } = dice.pick(matches)
  return splice(text, index, match.length, change(match))
}

function swapLines(dice: Dice, text: string): string {
  const lines = text.split("\r\n")
  const [a, b] = [dice.below(lines.length), dice.below(lines.length)]
  return lines.map((line, index) => (index === a ? lines[b] : index === b ? lines[a] : line)).join("\r\n")
}

function nearNumber(dice: Dice, digits: string): string {
  const value = Number.parseInt(digits, 16)
  return dice.pick([
    `${digits}0`,
    `0${digits}`,
    `-${digits}`,
    `+${digits}`,
    `0x${digits}`,
    String(value + 1),
    "0",
    "ffffffffffffffff",
    "",
  ])
}
