/** What is said of anything that was thrown. */
import { fileURLToPath } from "node:url"
import { test } from "tap"
import {
  FlowError,
  flowErrorOf,
  fullMessageOf,
  isFlowError,
  messageOf,
  systemCodeOf,
  whyUnread,
} from "../../lib/base/errors.ts"

/** Throws whatever is done with it, as an addon may. */
const spiteful = new Proxy(new Error("never read"), {
  get() {
    throw new Error("get")
  },
  getPrototypeOf() {
    throw new Error("getPrototypeOf")
  },
})

test("the message of anything is a text, of at most 4,096 characters and a mark", async (t) => {
  t.equal(messageOf(new Error("oops")), "oops")
  t.equal(messageOf("oops"), "oops")
  t.equal(messageOf(undefined), "undefined")
  t.equal(messageOf(Object.assign(new Error("x"), { message: 7 })), "7")
  t.equal(messageOf("x".repeat(4_096)), "x".repeat(4_096))
  t.equal(messageOf("x".repeat(4_097)), `${"x".repeat(4_096)}...`)
  t.equal(messageOf(spiteful), "something that cannot be written")
  t.equal(messageOf(Object.create(null)), "something that cannot be written")
})

test("what caused an error is told with it, three causes deep, unless it says so itself", async (t) => {
  const refused = new Error("connect ECONNREFUSED 127.0.0.1:9")
  t.equal(fullMessageOf(new TypeError("fetch failed", { cause: refused })), `fetch failed: ${refused.message}`)
  t.equal(fullMessageOf(new Error(`it broke: ${refused.message}`, { cause: refused })), `it broke: ${refused.message}`)
  const deep = ["d", "c", "b", "a"].reduce<unknown>(
    (cause, text) => new Error(`<${text}>`, { cause }),
    new Error("<e>"),
  )
  t.equal(fullMessageOf(deep), "<a>: <b>: <c>: <d>")
  t.equal(fullMessageOf(new Error("x", { cause: "a text" })), "x: a text")
})

test("of several attempts that failed the first stands for all, by its code where it has no message", async (t) => {
  const first = Object.assign(new Error(""), { code: "ECONNREFUSED" })
  t.equal(
    fullMessageOf(new Error("x", { cause: new AggregateError([first, new Error("second")], "") })),
    "x: ECONNREFUSED",
  )
  t.equal(
    fullMessageOf(new AggregateError([new Error("first"), new Error("second")], "all failed")),
    "all failed: first",
  )
})

test("what throws when it is looked at is no error of ours, and has no cause", async (t) => {
  t.equal(isFlowError(spiteful), false)
  t.equal(isFlowError(new FlowError("client", "x", "y")), true)
  t.equal(isFlowError(new Error("y")), false)
  t.equal(fullMessageOf(spiteful), "something that cannot be written")
})

test("a FlowError's status is the client's fault or the upstream's, unless it is said", async (t) => {
  t.equal(new FlowError("client", "x", "y").status, 400)
  t.equal(new FlowError("upstream", "x", "y").status, 502)
  t.equal(new FlowError("client", "x", "y", { status: 431 }).status, 431)
  const one = new FlowError("client", "x", "y")
  t.equal(flowErrorOf(one), one)
  const thrown = new Error("oops")
  t.match(flowErrorOf(thrown), { source: "llmproxy", code: "internal", message: "oops", status: 502, cause: thrown })
  t.equal(flowErrorOf(thrown, 500).status, 500)
})

test("a system's code is a text of an Error", async (t) => {
  t.equal(systemCodeOf(Object.assign(new Error(), { code: "EPIPE" })), "EPIPE")
  for (const thrown of [new Error(), Object.assign(new Error(), { code: 7 }), { code: "EPIPE" }, "EPIPE", undefined])
    t.equal(systemCodeOf(thrown), undefined)
})

test("why a file could not be read is said in words", async (t) => {
  const coded = (code: string) => Object.assign(new Error(`${code}: as Node says it`), { code })
  const said = ["ENOENT", "EISDIR", "EACCES", "EPERM", "EMFILE"].map((code) => whyUnread(coded(code)))
  t.strictSame(said, [
    "there is no such file",
    "it is a folder",
    "this user may not read it",
    "this user may not read it",
    "EMFILE: as Node says it",
  ])
})

test("of a module of ours that is gone, the message says what to do", async (t) => {
  const file = fileURLToPath(new URL("../../lib/base/gone.ts", import.meta.url))
  const said = /^llmproxy was built or installed anew since this one started, and .*gone\.ts is gone; start it again$/
  const gone: { load(): Promise<unknown> } = { load: () => import(`../../lib/base/gone.${"ts"}`) }
  const thrown = await gone.load().catch((error: unknown) => error)
  t.match(messageOf(thrown), said)
  t.match(messageOf(new Error(`Cannot find module '${file}'`)), said, "as a thread says it")
  const theirs = "Cannot find module '/work/gone.js' imported from /work/a.mjs"
  t.equal(messageOf(new Error(theirs)), theirs)
})
