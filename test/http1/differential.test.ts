/**
 * The same bytes to our parser and to Node's own: both accept or both refuse, and what both accept they read alike,
 * to the byte where the message ends. LLMPROXY_FUZZ_SEED repeats a run, LLMPROXY_FUZZ_CASES changes its length.
 */
import { randomInt } from "node:crypto"
import { type Test, test } from "tap"
import { FlowError } from "../../lib/base/errors.ts"
import type { RequestEvent, RequestHead, ResponseEvent, ResponseHead } from "../../lib/http1/message.ts"
import { RequestParser, ResponseParser } from "../../lib/http1/parser.ts"
import { Dice, makeRequest, makeResponse, mutate } from "../helpers/wire/http1-mutations.ts"
import {
  type NodeMessage,
  type NodeReading,
  nodeReadsRequests,
  nodeReadsResponse,
  nodeServer,
} from "../helpers/wire/node-parser.ts"

const CASES = Number(process.env.LLMPROXY_FUZZ_CASES ?? 40_000)
const SEED = Number(process.env.LLMPROXY_FUZZ_SEED ?? randomInt(2 ** 31))
/** Cases in flight at once: streams in memory take turns. */
const BATCH = 200

/** Follows every request: a reader that ends a message elsewhere reads this one otherwise. */
const NEXT_REQUEST = "GET /next HTTP/1.1\r\nHost: next\r\n\r\n"
const NEXT_RESPONSE = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"

/**
 * Where we and Node differ, and why that is right. None is about framing: none says that both accept a message and
 * end it at different bytes.
 */
const DISAGREEMENTS: readonly { readonly outcome: RegExp; readonly reason: string }[] = [
  {
    outcome: /^refused (missing|repeated|bad)-host$/,
    reason: "Host exactly once, with a host in it (RFC 9112 3.2); Node takes two, and here none",
  },
  { outcome: /^refused bad-expect$/, reason: "an unknown expectation gets 417; Node leaves that to a listener" },
  {
    outcome: /^refused connect-with-content$/,
    reason: "a CONNECT with a body has no certain tunnel start; Node ignores the length",
  },
  {
    outcome: /^refused bad-target$/,
    reason: "one space before and after the target, no # and no \\ in it; Node takes them",
  },
  { outcome: /^refused bad-request-line$/, reason: "Node also reads HTTP/0.9 lines, RTSP and ICE" },
  { outcome: /^refused bad-method$/, reason: "Node skips a bare LF before a request line" },
  { outcome: /^refused version-not-supported$/, reason: "Node also reads HTTP/0.9 and HTTP/2.0 in this syntax" },
  {
    outcome: /^refused bad-transfer-encoding$/,
    reason: "only chunked; Node takes unknown codings, and until-close behind them",
  },
  { outcome: /^refused transfer-encoding-in-1\.0$/, reason: "RFC 9112 6.1: faulty framing; Node takes it" },
  { outcome: /^refused bad-content-length$/, reason: "no tabs beside a length; Node takes those before it" },
  {
    outcome: /^refused forbidden-trailer$/,
    reason: "RFC 9110 6.5.1: no framing or routing in trailers; Node takes them",
  },
  {
    outcome: /^refused bad-status-line$/,
    reason: "Node skips empty lines before a status line, and takes controls in a reason",
  },
  {
    outcome: /^refused bare-cr$/,
    reason: "a bare CR ends no line (RFC 9112 2.2); Node ends a status line at it",
  },
  {
    outcome: /^accepted, Node: HPE_\w+ .*chunk (extensions|size)/,
    reason: "extensions are dropped, so their syntax is not checked, and RFC 9112 7.1.1 allows white space before them",
  },
  { outcome: /^accepted, Node: HPE_INVALID_METHOD /, reason: "any token is a method; Node knows a list" },
  {
    outcome: /^accepted, Node: HPE_INVALID_URL /,
    reason: "a host is judged where it is parsed; Node wants its characters right in the target",
  },
  {
    outcome: /^accepted, Node: HPE_(UNEXPECTED|INVALID)_CONTENT_LENGTH /,
    reason: "RFC 9110 8.6: equal lengths of a response are one",
  },
  {
    outcome: /^accepted, Node: HPE_CLOSED_CONNECTION /,
    reason: "an interim response in HTTP/1.0 is followed by the final one",
  },
  {
    outcome: /^keep-alive: (false, Node: true|true, Node: false)$/,
    reason: "Connection in HTTP/1.0: close wins over keep-alive (RFC 9112 9.3), and a tab is white space",
  },
  { outcome: /^tunnel: false, Node: true$/, reason: "RFC 9110 7.8: Upgrade is ignored in HTTP/1.0" },
]

interface Reading {
  /** Whole messages, in Node's terms. */
  readonly messages: NodeMessage[]
  readonly error: string | undefined
  /** The bytes, cut where a message ended. */
  readonly pieces: Buffer[]
  /** Nothing behind the last message would be read: the connection closes or is a tunnel. */
  readonly stopped: boolean
}

function weRead(bytes: Buffer, method: string | undefined): Reading {
  const messages: NodeMessage[] = []
  const ends: number[] = []
  const parser = method === undefined ? new RequestParser() : new ResponseParser()
  if (parser instanceof ResponseParser) parser.expect(method ?? "")
  parser.feed(bytes)
  let stopped = false
  let error: string | undefined
  try {
    for (const event of eventsOf(parser)) {
      take(messages, event)
      const message = messages.at(-1)
      if (event.type === "data" || message?.whole !== true) continue
      ends.push(bytes.length - parser.buffered)
      stopped = message.tunnel || method !== undefined || message.keepAlive !== true
      if (stopped) break
    }
  } catch (thrown) {
    if (!(thrown instanceof FlowError)) throw thrown
    error = thrown.code
  }
  const pieces = [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
  const whole = messages.filter((message) => message.whole)
  return { messages: whole, error, stopped, pieces: pieces.filter((piece) => piece.length > 0) }
}

/** Every event of what was fed, and of the end of input behind it. */
function* eventsOf(parser: RequestParser | ResponseParser): Generator<RequestEvent | ResponseEvent> {
  for (let event = parser.next(); event !== undefined; event = parser.next()) yield event
  parser.finish()
  for (let event = parser.next(); event !== undefined; event = parser.next()) yield event
}

function take(messages: NodeMessage[], event: RequestEvent | ResponseEvent): void {
  if (event.type === "head") messages.push(newMessage(event.head))
  const message = messages.at(-1)
  if (message === undefined) return
  if (event.type === "data") message.body += event.bytes.toString("latin1")
  if (event.type === "end") message.trailers = [...(event.trailers ?? [])].flat()
  // Node gives a tunnel up at its head.
  message.whole = event.type === "end" || message.tunnel
}

function newMessage(head: RequestHead | ResponseHead): NodeMessage {
  const request = "method" in head
  return {
    start: request ? `${head.method} ${head.target}` : `${head.status} ${head.reason}`,
    fields: [...head.headers].flat(),
    keepAlive: head.keepAlive,
    tunnel: request ? head.method === "CONNECT" || head.upgrade !== undefined : head.status === 101,
    body: "",
    trailers: [],
    whole: false,
  }
}

/** What two readings differ in: undefined, one of DISAGREEMENTS, or a bug. */
function difference(ours: Reading, node: NodeReading): string | undefined {
  const theirs = node.messages.filter((message) => message.whole)
  for (const [index, message] of ours.messages.entries()) {
    const other = theirs[index]
    if (other === undefined) return `accepted, Node: ${node.error ?? "says nothing"}`
    if (message.tunnel !== other.tunnel) return `tunnel: ${message.tunnel}, Node: ${other.tunnel}`
    for (const part of message.tunnel
      ? (["start", "fields"] as const)
      : (["start", "fields", "body", "trailers"] as const))
      if (String(message[part]) !== String(other[part]))
        return `${part}: ${JSON.stringify(message[part])}, Node: ${JSON.stringify(other[part])}`
    if (other.keepAlive !== undefined && message.keepAlive !== other.keepAlive)
      return `keep-alive: ${message.keepAlive}, Node: ${other.keepAlive}`
  }
  const more = theirs[ours.messages.length]
  if (ours.stopped || more === undefined) return undefined
  if (more.tunnel && ours.error === "cut") return "tunnel: false, Node: true" // Node does not wait for its body
  return `refused ${ours.error ?? "nothing, and read less than Node"}`
}

interface Tally {
  bothAccept: number
  readonly found: Map<string, number>
  readonly bugs: string[]
}

function count(tally: Tally, text: string, ours: Reading, node: NodeReading): void {
  const outcome = difference(ours, node)
  if (outcome === undefined) {
    if (ours.messages.length > 0) tally.bothAccept++
    return
  }
  const listed = DISAGREEMENTS.find((disagreement) => disagreement.outcome.test(outcome))
  if (listed === undefined) tally.bugs.push(`${outcome}\n${JSON.stringify(text)}`)
  else tally.found.set(listed.reason, (tally.found.get(listed.reason) ?? 0) + 1)
}

async function fuzz(run: (tally: Tally) => Promise<void>): Promise<Tally> {
  const tally: Tally = { bothAccept: 0, found: new Map(), bugs: [] }
  for (let done = 0; done < CASES / 2; done += BATCH)
    await Promise.all(Array.from({ length: Math.min(BATCH, CASES / 2 - done) }, () => run(tally)))
  return tally
}

function report(t: Test, tally: Tally): void {
  t.comment(`LLMPROXY_FUZZ_SEED=${SEED} repeats this run of ${CASES / 2} cases; both accept in ${tally.bothAccept}`)
  for (const [reason, times] of tally.found) t.comment(`${times} x ${reason}`)
  t.strictSame(tally.bugs.slice(0, 5), [], `no disagreement outside the list, seed ${SEED}`)
  t.ok(tally.bothAccept > CASES / 10, "the generator makes enough messages that both accept")
}

test("requests read as Node reads them, save for the listed disagreements", async (t) => {
  const dice = new Dice(SEED)
  const server = nodeServer()
  const tally = await fuzz(async (into) => {
    const text = mutate(dice, makeRequest(dice)) + NEXT_REQUEST
    const ours = weRead(Buffer.from(text, "latin1"), undefined)
    count(into, text, ours, await nodeReadsRequests(server, ours.pieces))
  })
  report(t, tally)
})

test("responses read as Node reads them, save for the listed disagreements", async (t) => {
  const dice = new Dice(SEED + 1)
  const tally = await fuzz(async (into) => {
    const method = dice.once(10) ? "HEAD" : "GET"
    const text = mutate(dice, makeResponse(dice)) + (dice.once(2) ? NEXT_RESPONSE : "")
    const ours = weRead(Buffer.from(text, "latin1"), method)
    count(into, text, ours, await nodeReadsResponse(method, ours.pieces))
  })
  report(t, tally)
})

test("messages that nobody has broken are never refused", (t) => {
  const dice = new Dice(SEED)
  const refused: string[] = []
  for (let made = 0; made < 2000; made++) {
    const [request, response] = [makeRequest(dice), makeResponse(dice)]
    if (weRead(Buffer.from(request, "latin1"), undefined).error !== undefined) refused.push(request)
    if (weRead(Buffer.from(response, "latin1"), "GET").error !== undefined) refused.push(response)
  }
  t.strictSame(refused.slice(0, 5), [], `seed ${SEED}`)
  t.end()
})

test("at least 20,000 cases run, and at most 20 disagreements are listed", (t) => {
  t.ok(CASES >= 20_000 || process.env.LLMPROXY_FUZZ_CASES !== undefined)
  t.ok(DISAGREEMENTS.length <= 20)
  t.end()
})
