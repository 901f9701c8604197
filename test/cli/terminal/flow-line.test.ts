/** The line of a flow: what stands in it, in which order, and how it is broken. */
import { test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { CHILD_LEAD, clean, duration, flowLine, fold, markOf } from "../../../lib/cli/terminal/flow-line.ts"
import { NO_TOKENS } from "../../../lib/cli/terminal/flow-usage.ts"
import { PLAIN } from "../../../lib/cli/terminal/paint.ts"
import { CHAT, completionOf, endedChat, endedFlow } from "../../helpers/shown-flow.ts"

const WIDE = { paint: PLAIN, columns: undefined }

/** Without time and id, which differ from run to run. */
function lineOf(...shown: Parameters<typeof flowLine>): string {
  return flowLine(...shown).replace(/\d\d:\d\d:\d\d [0-9a-f]{8} {2}/, "")
}

test("a line begins with the time of day and the end of the id, by which the history finds it", async (t) => {
  const flow = await endedFlow({ url: "http://example.org/a" }, { status: 304 })
  const [start, ...rest] = flowLine(flow, NO_TOKENS, WIDE).split("  ")
  t.equal(start, markOf(flow))
  t.same(rest, ["GET example.org/a", "304\n"])
  const at = new Date(2026, 10, 30, 6, 5, 4).getTime()
  t.equal(
    markOf({ id: "018f0000-0000-7000-8000-00003f2a9c1b", timings: { ...flow.timings, start: at } }),
    "06:05:04 3f2a9c1b",
  )
})

test("what the route's reason says an error does not say again", async (t) => {
  const reason = "local host failed before the first token: No models loaded."
  const error = { kind: "model_not_found", message: `llmproxy: http://h:1: ${reason} Mend or start the local host.` }
  const line = async (routed: { name: string; reason: string }) =>
    lineOf(await endedChat(CHAT, { status: 404, llmError: error, routed }), NO_TOKENS, WIDE)
  const shown = `local: ${reason}; no key for the cloud  404 model_not_found: Mend or start the local host.\n`
  t.match(await line({ name: "local", reason: `${reason}; no key for the cloud` }), shown)
  const said = { ...error, message: reason }
  const alone = await endedChat(CHAT, { status: 404, llmError: said, routed: { name: "local", reason } })
  t.match(lineOf(alone, NO_TOKENS, WIDE), `local: ${reason}  404 model_not_found\n`)
  t.match(await line({ name: "local", reason: "another" }), `404 model_not_found: ${error.message}\n`)
})

test("a routed chat shows model, route and why, tokens, status and both times", async (t) => {
  const flow = await endedChat(CHAT, {
    status: 200,
    completion: completionOf("Hello", { model: "deepseek-coder" }),
    routed: { name: "local", reason: "needs 20 of 8192 tokens" },
    timings: { firstDeltaMs: 80.4, endMs: 2_100 },
  })
  const usage = { input: 18, output: 3, isCounted: false }
  const line =
    "POST api.openai.com/v1/chat/completions  gpt-4o → deepseek-coder  local: needs 20 of 8192 tokens" +
    "  in 18  out 3  200  first 80 ms  2.1 s\n"
  t.equal(lineOf(flow, usage, WIDE), line)
  t.match(lineOf(flow, { ...usage, isCounted: true }, WIDE), "in ~18  out ~3")
})

test("a flow that an addon has sent by itself names the addon", async (t) => {
  const flow = await endedFlow({ url: "http://example.org/a" }, { status: 200 })
  Object.defineProperty(flow, "client", { value: { ...flow.client, id: "addon:jobs", address: "" } })
  t.equal(lineOf(flow, NO_TOKENS, WIDE), "GET example.org/a  addon:jobs  200\n")
})

test("what is not known is left out", async (t) => {
  const flow = await endedFlow({ url: "http://example.org/a?key=1" }, { status: 304 })
  t.equal(lineOf(flow, NO_TOKENS, WIDE), "GET example.org/a  304\n", "the query is not shown either")
  const named = await endedChat(CHAT, { status: 200, routed: { name: "cloud" } })
  t.match(lineOf(named, NO_TOKENS, WIDE), "gpt-4o  cloud  200")
})

test("the model that answered is named when it is another than the one asked for", async (t) => {
  const shown = async (asked: string, answered: string | undefined) => {
    const flow = await endedChat({ ...CHAT, model: asked }, { completion: completionOf("", { model: answered }) })
    return lineOf(flow, NO_TOKENS, WIDE).split("  ")[1]?.trim()
  }
  t.equal(await shown("gpt-4o", "gpt-4o-2024-08-06"), "gpt-4o", "a date names a version of it")
  t.equal(await shown("gpt-4", "gpt-4-0613"), "gpt-4")
  t.equal(await shown("gpt-4", "gpt-4o"), "gpt-4 → gpt-4o")
  t.equal(await shown("gpt-4o", "gpt-4o-mini"), "gpt-4o → gpt-4o-mini")
  t.equal(await shown("gpt-4o", ""), "gpt-4o")
  t.equal(await shown("", "qwen"), "qwen")
})

test("an end that is not as it should be is told", async (t) => {
  const line = async (ending: Parameters<typeof endedChat>[1]) => lineOf(await endedChat(CHAT, ending), NO_TOKENS, WIDE)
  const refused = new FlowError("upstream", "connection-refused", "connect h:1: refused")
  t.match(await line({ error: refused }), "gpt-4o  failed: connect h:1: refused\n")
  t.match(await line({ status: 200, error: refused }), "200 cut: connect h:1: refused\n")
  t.match(await line({ status: 200, error: new FlowError("client", "client-gone", "left") }), "200 client left\n")
  t.match(await line({ error: new FlowError("client", "client-gone", "left") }), "gpt-4o  client left\n")
  t.match(await line({ status: 429, llmError: { kind: "quota", message: "no money" } }), "429 quota: no money\n")
  t.match(await line({ status: 200, unparsed: "no JSON" }), "200 not read: no JSON\n")
  t.match(await line({ status: 500 }), "gpt-4o  500\n")
  const cutShort = completionOf("x", { finishReason: { unified: "length", raw: "length" } })
  t.match(await line({ status: 200, completion: cutShort }), "200 length\n")
})

test("a line wider than the terminal is broken between fields", async (t) => {
  const flow = await endedChat(CHAT, { status: 200, routed: { name: "local", reason: "because of this and that" } })
  t.equal(
    lineOf(flow, { input: 1, output: 2, isCounted: false }, { paint: PLAIN, columns: 69 }),
    "POST api.openai.com/v1/chat/completions  gpt-4o\n     local: because of this and that  in 1  out 2  200\n",
  )
  t.equal(fold(["a".repeat(20), "b"], 10), `${"a".repeat(20)}\n     b\n`, "the first field is never cut")
})

test("a field that is wider than the terminal hangs, broken between words, in its colour", async (t) => {
  const error = "failed: connect 127.0.0.1:1: refused; is a server running there? (ECONNREFUSED)"
  t.equal(
    fold(["POST h/a", error, "3 ms"], 40),
    "POST h/a\n     failed: connect 127.0.0.1:1:\n     refused; is a server running there?\n     (ECONNREFUSED)  3 ms\n",
  )
  const red = (text: string) => `\u001b[31m${text}\u001b[39m`
  t.equal(
    fold(["POST h/a", red("one two three four five six")], 25),
    `POST h/a\n     ${red("one two three four")}\n     ${red("five six")}\n`,
  )
})

test("colours take no room", async (t) => {
  const red = (text: string) => `\u001b[31m${text}\u001b[39m`
  t.equal(fold([red("aaaa"), red("bbbb")], 10), `${red("aaaa")}  ${red("bbbb")}\n`)
})

test("a flow that an addon sent is indented", async (t) => {
  const parent = await endedChat(CHAT, {})
  const child = await endedChat(CHAT, { parent, status: 200 })
  t.equal(lineOf(child, NO_TOKENS, WIDE), `${CHILD_LEAD}POST api.openai.com/v1/chat/completions  gpt-4o  200\n`)
})

test("each part has its colour", async (t) => {
  const paint = (colour: string, text: string) => `<${colour}>${text}`
  const local = await endedChat(CHAT, { status: 200, routed: { name: "local" } })
  t.match(
    lineOf(local, NO_TOKENS, { paint, columns: undefined }),
    /<bold>POST .*<cyan>gpt-4o {2}<green>local {2}<green>200/,
  )
  const cloud = await endedFlow({}, { status: 404, routed: { name: "cloud" } })
  t.match(lineOf(cloud, NO_TOKENS, { paint, columns: undefined }), /<dim>GET .*<magenta>cloud {2}<red>404/)
})

test("what comes from outside cannot steer the terminal, shows no key and has an end", async (t) => {
  t.equal(clean("a\u001b[31m\nb sk-abcdefghijkl"), "a\\x1b[31m b sk-***")
  t.equal(clean("x".repeat(1_000)).length, 200)
  t.equal(clean("abcdef", 4), "abc…")
  const flow = await endedChat({ ...CHAT, model: "\u001b]0;x\u0007" }, {})
  t.match(lineOf(flow, NO_TOKENS, WIDE), "\\x1b]0;x\\x07")
})

test("durations are short and round", async (t) => {
  const shown = [0.4, 85.2, 999.4, 999.6, 1_240, 9_940, 9_960, 75_400, 119_400, 185_000].map(duration)
  t.same(shown, ["0 ms", "85 ms", "999 ms", "1.0 s", "1.2 s", "9.9 s", "10 s", "75 s", "119 s", "3 min 5 s"])
})
