import fc from "fast-check"
import { test } from "tap"
import { Headers } from "../../lib/base/headers.ts"
import {
  fieldsAt,
  Health,
  inOrder,
  join,
  judge,
  judgeStatus,
  lengthOf,
  linesIn,
  REST_MS_MAX,
  retryAfterMs,
  type Target,
  urlAt,
} from "../../lib/targets/index.ts"
import { withoutKeys } from "../../lib/targets/target.ts"
import { ManualClock } from "../../lib/testing/parts.ts"

const box: Target = { name: "box", url: "http://127.0.0.1:1234/v1", isLocal: true }
const keyed: Target = { ...box, name: "keyed", headers: { Authorization: "Bearer k" } }

test("a path stands at a target where that one's own clients look for it", async (t) => {
  const cases: readonly [base: string, path: string, at: string][] = [
    ["https://api.openai.com/v1", "/v1/chat/completions?x=1", "https://api.openai.com/v1/chat/completions?x=1"],
    ["https://api.openai.com", "/v1/models", "https://api.openai.com/v1/models"],
    ["https://h/v1beta/openai/", "/v1/chat/completions", "https://h/v1beta/openai/chat/completions"],
    ["https://api.anthropic.com", "/v1/messages", "https://api.anthropic.com/v1/messages"],
    ["https://h/anthropic", "/v1/messages?beta=true", "https://h/anthropic/v1/messages?beta=true"],
    ["https://h/v1", "/v1/messages", "https://h/v1/messages"],
    ["http://127.0.0.1:11434/v1", "/api/chat", "http://127.0.0.1:11434/api/chat"],
    ["http://127.0.0.1:11434", "/api/chat", "http://127.0.0.1:11434/api/chat"],
    ["https://h/ollama/", "/api/tags", "https://h/ollama/api/tags"],
    ["https://h/x", "/v1beta/models/m:generateContent", "https://h/x/v1beta/models/m:generateContent"],
  ]
  for (const [url, path, at] of cases) t.equal(urlAt({ url }, path), at, `${path} at ${url}`)
  const files = urlAt({ url: "https://h/anthropic", dialect: "anthropic-messages" }, "/v1/files")
  t.equal(files, "https://h/anthropic/v1/files")
})

test("a target gets what the client said, and neither its keys nor what is for llmproxy", async (t) => {
  const said = new Headers({
    Host: "here",
    Connection: "keep-alive, X-Hop",
    "X-Hop": "1",
    "Content-Length": "3",
    Authorization: "Bearer theirs",
    "x-api-key": "theirs",
    Cookie: "a=b",
    "OpenAI-Organization": "org",
    "x-llmproxy-upstream": "box",
    "Content-Type": "application/json",
    "anthropic-beta": "x",
  })
  t.strictSame(
    [...fieldsAt(keyed, said)],
    [
      ["Content-Type", "application/json"],
      ["anthropic-beta", "x"],
      ["Authorization", "Bearer k"],
    ],
  )
  t.equal(withoutKeys("/v1beta/models?key=theirs&alt=sse"), "/v1beta/models?alt=sse")
  t.equal(withoutKeys("/v1beta/models?key=theirs"), "/v1beta/models")
  t.equal(withoutKeys("/v1/models?%=1&alt=sse"), "/v1/models?%=1&alt=sse")
})

test("what fails over, and what counts against a host", async (t) => {
  const failure = (
    kind: "connect" | "status" | "error" | "empty" | "cut" | "addon",
    status = 0,
    errorKind = "other",
  ) => {
    const error = { kind: errorKind, status, message: "", code: undefined, type: undefined, raw: undefined } as const
    return judge({ kind, status, message: "", error: error as never }, keyed)
  }
  const said = ({ failsOver, cools }: { failsOver: boolean; cools: boolean }) => `${failsOver} ${cools}`
  t.equal(said(failure("connect")), "true true")
  t.equal(said(failure("cut", 200)), "true true")
  t.equal(said(failure("empty", 200)), "true false")
  t.equal(said(failure("addon")), "false false")
  for (const status of [500, 502, 503, 504, 529, 429, 408])
    t.equal(said(failure("status", status)), "true true", `${status}`)
  for (const status of [400, 404, 405, 413, 422]) t.equal(said(failure("status", status)), "false false", `${status}`)
  t.equal(said(failure("status", 500, "context_length")), "true false")
  t.equal(said(failure("error", 200, "overloaded")), "true true")
  t.equal(said(failure("error", 200, "context_length")), "false false")
  t.equal(said(judgeStatus(401, keyed)), "true true", "the server's key")
  t.equal(said(judgeStatus(401, box)), "false false", "the client's own")
  t.ok(judgeStatus(403, keyed).isKeyRefused)
  t.ok(failure("status", 429).rank > failure("connect").rank)
})

test("how long a host wants to be left alone", async (t) => {
  const now = Date.parse("2026-11-30T20:00:00Z")
  const said = (fields: Record<string, string>) => retryAfterMs(new Headers(fields), now)
  t.equal(said({}), 0)
  t.equal(said({ "Retry-After": "7" }), 7_000)
  t.equal(said({ "Retry-After": "1.5" }), 1_500)
  t.equal(said({ "Retry-After": "Mon, 30 Nov 2026 20:00:30 GMT" }), 30_000)
  t.equal(said({ "Retry-After": "Mon, 30 Nov 2026 19:00:30 GMT" }), 0)
  t.equal(said({ "Retry-After": "soon" }), 0)
  t.equal(said({ "Retry-After": "" }), 0)
  t.equal(said({ "Retry-After": "9", "retry-after-ms": "250" }), 250)
})

test("a host that fails is left alone twice as long each time, up to a bound, and one request tries it again", async (t) => {
  const clock = new ManualClock()
  const state = new Map<string, unknown>()
  const health = new Health(state, clock)
  t.equal(health.begin("a"), false, "a host that is well is not tried")
  health.failed("a", "refused", 1_000)
  health.failed("a", "refused", 1_000)
  t.strictSame(health.restOf("a"), { ms: 1_000, why: "refused" }, "requests beside each other count once")
  clock.advance(1_000)
  t.equal(health.restOf("a"), undefined)
  t.equal(health.begin("a"), true)
  t.equal(health.begin("a"), false)
  t.strictSame(new Health(state, clock).standingOf("a"), { ms: 0, why: "refused" }, "kept over reloads")
  health.dropped("a")
  t.equal(health.standingOf("a"), undefined)
  health.begin("a")
  health.failed("a", "again", 1_000)
  t.strictSame(health.standingOf("a"), { ms: 2_000, why: "again" })
  health.failed("a", "slow down", 1_000, 60_000)
  t.equal(health.restOf("a")?.ms, 60_000, "it has said so itself")
  health.failed("a", "slow down", 1_000, 10 * REST_MS_MAX)
  t.equal(health.restOf("a")?.ms, REST_MS_MAX)
  health.succeeded("a")
  health.dropped("a")
  health.failed("a", "anew", 1_000)
  t.equal(health.restOf("a")?.ms, 1_000)
})

test("targets come as they are listed, those that rest last, whoever is well soonest first", async (t) => {
  const targets = ["a", "b", "c", "d"].map((name): Target => ({ ...box, name }))
  const rests: Record<string, number> = { a: 500, c: 20 }
  const standing = ({ name }: Target) => (rests[name] === undefined ? undefined : { ms: rests[name], why: "" })
  const names = inOrder(targets, "listed", standing, Math.random).map(({ name }) => name)
  t.strictSame(names, ["b", "d", "c", "a"])
})

test("by weight each comes first as often as it says, and none is lost", async (t) => {
  const targets = [1, 3, 0].map((weight, at): Target => ({ ...box, name: `t${at}`, weight }))
  const first = { t0: 0, t1: 0, t2: 0 } as Record<string, number>
  for (let step = 0; step < 400; step++) {
    const [one] = inOrder(
      targets,
      "weighted",
      () => undefined,
      () => step / 400,
    )
    first[one?.name ?? ""] = (first[one?.name ?? ""] ?? 0) + 1
  }
  t.strictSame(first, { t0: 100, t1: 300, t2: 0 })
  const weights = fc.array(fc.double({ min: -1, max: 5 }), { maxLength: 6 })
  fc.assert(
    fc.property(weights, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (given, random) => {
      const all = given.map((weight, at): Target => ({ ...box, name: `t${at}`, weight }))
      const drawn = inOrder(
        all,
        "weighted",
        () => undefined,
        () => random,
      )
      return new Set(drawn).size === all.length && drawn.length === all.length
    }),
  )
})

test("a line tells how long it is, and forgets itself when it is empty", async (t) => {
  const lines = linesIn(new Map())
  const [one, other] = [join(lines, "h", () => 1), join(lines, "h", () => 1)]
  t.strictSame([one.isGranted, other.isGranted], [true, false])
  t.strictSame(lengthOf(lines, "h"), { serving: 1, waiting: 1 })
  one.leave()
  t.strictSame([one.isGranted, other.isGranted], [false, true])
  other.leave()
  t.strictSame(lengthOf(lines, "h"), { serving: 0, waiting: 0 })
  t.equal(lines.size, 0)
})
