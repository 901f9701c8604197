/** What is printed at each level of detail, with real flows through a real proxy. */
import type { Socket } from "node:net"
import { join } from "node:path"
import { type Test, test } from "tap"
import type { AddonDefinition, TokenService } from "../../../lib/api/addon.ts"
import { App } from "../../../lib/app.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { PLAIN } from "../../../lib/cli/terminal/paint.ts"
import { makeTerminal } from "../../../lib/cli/terminal/terminal.ts"
import { NO_SOURCES } from "../../../lib/options/sources.ts"
import { type ReplyScript, ScriptedOrigin } from "../../../lib/testing/origin.ts"
import { httpReply, jsonReply, sseReply } from "../../helpers/hosts/chat-replies.ts"
import { KeptOutput } from "../../helpers/world.ts"

const CHAT = { model: "gpt-4o", messages: [{ role: "user", content: "Hi\nthere" }] }
const USAGE = { prompt_tokens: 9, completion_tokens: 2 }

/** A proxy with the terminal output, in front of an origin; ends with the test. */
async function printing(
  t: Test,
  detail: number,
  reply: ReplyScript,
  more: AddonDefinition[] = [],
  { columns, tokens }: { columns?: number; tokens?: TokenService } = {},
) {
  const out = new KeptOutput(columns)
  const terminal = makeTerminal({ out, paint: PLAIN, detail })
  const origin = await ScriptedOrigin.start(reply)
  const app = new App({
    sources: { ...NO_SOURCES, set: ["port=0", `baseUpstream=http://127.0.0.1:${origin.port}`] },
    scripts: [],
    places: { folders: [], shipped: undefined },
    confdir: join(t.testdir(), "confdir"),
    log: makeLogger(() => {}),
    builtin: terminal.addon === undefined ? more : [terminal.addon, ...more],
    watch: false,
    ...(tokens === undefined ? {} : { tokens }),
  })
  const { port } = await app.start()
  t.teardown(() => origin.close())
  const send = async (body: object, headers: Record<string, string> = {}) => {
    const url = `http://127.0.0.1:${port}/v1/chat/completions`
    const answer = await fetch(url, { method: "POST", body: JSON.stringify(body), headers })
    return await answer.text()
  }
  /** What was printed, with what differs from run to run made equal. */
  const printed = async () => {
    await app.stop()
    const text = out.text.replaceAll(String(origin.port), "PORT").replace(/\b\d+ ms\b/g, "N ms")
    return text.replace(/\d\d:\d\d:\d\d [0-9a-f]{8} {2}/g, "") // when, and which
  }
  return { app, out, send, printed, terminal }
}

const LINE = "POST 127.0.0.1:PORT/v1/chat/completions  gpt-4o"

test("at 0 nothing is listened to", async (t) => {
  t.equal(makeTerminal({ out: new KeptOutput(undefined), paint: PLAIN, detail: 0 }).addon, undefined)
})

test("each level listens to what it needs and to nothing more", async (t) => {
  const listened = async (detail: number) => {
    const { app } = await printing(t, detail, jsonReply(""))
    const hooks = ["requestHeaders", "request", "llmRequest", "responseHeaders", "llmDelta", "llmResponse", "response"]
    const { collect, readsLlm, readsAnswers } = app.addons.chain
    const found = hooks.filter((hook) => app.addons.chain.has(hook as "request"))
    await app.stop()
    return [...found, ...(readsLlm && readsAnswers ? ["llm"] : []), ...(collect ? ["bodies"] : [])]
  }
  const line = ["response", "llm"]
  t.same(await listened(1), line)
  t.same(await listened(2), line)
  t.same(await listened(3), ["llmRequest", "llmDelta", "response", "llm"])
  t.same(await listened(4), ["request", "responseHeaders", "response", "llm", "bodies"])
})

test("at 1 a flow is a line, and what an addon asks for itself is none", async (t) => {
  const { send, printed, terminal } = await printing(t, 1, jsonReply("Hello", USAGE), [ASKS_FIRST])
  await send(CHAT)
  t.equal(await printed(), `${LINE}  in 9  out 2  200  N ms\n`)
  t.match(terminal.summary.text(), /^1 request\n/)
})

/** An addon that asks the same host for itself before each request. */
const ASKS_FIRST: AddonDefinition = {
  name: "asks",
  async llmRequest(flow) {
    if (flow.parent !== undefined) return
    const answer = await flow.send({ json: flow.llm.request.body }, { url: flow.request.url, until: "end" })
    await answer.text()
  },
}

test("at 2 excerpts and the flows of addons are added", async (t) => {
  const { send, printed, terminal } = await printing(t, 2, jsonReply("Hello\nyou", USAGE), [ASKS_FIRST])
  await send(CHAT)
  const [line, user, answer] = [
    `${LINE}  in 9  out 2  200  N ms\n`,
    "      user       Hi there\n",
    "      answer     Hello you\n",
  ]
  t.equal(await printed(), `  ↳ ${line}${answer}${line}${user}${answer}`, "what is asked is said once")
  t.match(terminal.summary.text(), /^1 request\n/, "which the summary does not count")
})

test("at 3 messages are whole and the answer comes as it arrives", async (t) => {
  const steps = stepwise()
  const { send, printed, out } = await printing(t, 3, steps.reply)
  const answered = send({ ...CHAT, stream: true })
  await out.until("      user       Hi\n                 there\n")
  const socket = await steps.socket
  socket.write(EVENTS_HEAD + textEvent("Hello ") + textEvent("th"))
  await out.until(/\n {6}answer {5}Hello $/)
  socket.end(textEvent("ere") + DONE)
  await answered
  t.match(await printed(), `      answer     Hello there\n${LINE}  in ~`)
})

test("at 3 nothing is printed between the words of an answer", async (t) => {
  const steps = stepwise()
  const { send, printed, out } = await printing(t, 3, (request, socket) => {
    if (request.body.includes('"stream":true')) return steps.reply(request, socket)
    return httpReply(404, { error: { message: "no such model", code: "model_not_found" } })(request, socket)
  })
  const answered = send({ ...CHAT, stream: true })
  const socket = await steps.socket
  socket.write(EVENTS_HEAD + textEvent("One "))
  await out.until("One ")
  await send(CHAT)
  socket.end(textEvent("two.") + DONE)
  await answered
  const text = await printed()
  t.match(text, "One two.\n")
  t.match(text, /One two\.\n(.*\n)*→ POST .*\n(.*\n)*POST .*404 model_not_found: no such model {2}N ms\n/)
})

test("at 3 reasoning, refusal and tool calls have their names", async (t) => {
  const calls = { tool_calls: [{ index: 0, id: "1", type: "function", function: { name: "f", arguments: "{}" } }] }
  const deltas = [{ reasoning_content: "hm" }, { content: "Yes." }, { refusal: "No." }, calls, { content: "" }]
  const body = EVENTS_HEAD + deltas.map(event).join("") + DONE
  const { send, printed } = await printing(t, 3, (_request, socket) => void socket.end(body))
  await send({ ...CHAT, stream: true })
  const [, shown] = /there\n((?:.|\n)*)POST /.exec(await printed()) ?? []
  t.equal(shown, "      reasoning  hm\n      answer     Yes.\n      refusal    No.\n                 tool call f({})\n")
})

test("at 3 a tool call behind a streamed text cannot steer the terminal", async (t) => {
  const odd = { name: "f\u001b]0;pwned\u0007", arguments: '{"a":"\u001b[31m\u202e\u{e0041}"}' }
  const calls = { tool_calls: [{ index: 0, id: "1", type: "function", function: odd }] }
  const body = EVENTS_HEAD + [{ content: "Yes." }, calls].map(event).join("") + DONE
  const { send, printed } = await printing(t, 3, (_request, socket) => void socket.end(body))
  await send({ ...CHAT, stream: true })
  const text = await printed()
  t.match(text, /tool call f\\x1b\]0;pwned\\x07\(/i)
  for (const sign of ["\u0007", "\u001b", "\u202e", "\u{e0041}"]) t.notOk(text.includes(sign))
})

test("at 3 an answer that did not stream is printed whole, an addon's own only once", async (t) => {
  const { send, printed } = await printing(t, 3, jsonReply("Hello", USAGE), [ASKS_FIRST])
  await send(CHAT)
  const text = await printed()
  t.equal(text.split("answer     Hello").length - 1, 1)
  t.match(text, `  ↳ → POST 127.0.0.1:PORT/v1/chat/completions\n`)
})

test("at 4 heads and bodies are printed, without what is secret", async (t) => {
  const { send, printed } = await printing(t, 4, jsonReply("Hello", USAGE))
  await send(CHAT, { authorization: "Bearer sk-secretsecret" })
  const text = await printed()
  t.match(text, "      POST /v1/chat/completions HTTP/1.1\n")
  t.match(text, "authorization: ***\n")
  t.match(text, '\n\n      {"model":"gpt-4o","messages":[{"role":"user","content":"Hi\\nthere"}]}\n')
  t.match(text, "  200  N ms\n      200 Told\n      Content-Type: application/json\n")
  t.match(text, '"content":"Hello"')
  t.notMatch(text, "secretsecret")
})

test("a line that waits for its tokens is printed before the program ends", async (t) => {
  const { send, printed, terminal } = await printing(t, 1, sseReply(["Hello"]))
  await send({ ...CHAT, stream: true })
  const text = (await printed()).replace(/~\d+/g, "~n")
  t.equal(text, `${LINE}  in ~n  out ~n  200  first N ms  N ms\n`)
  t.match(terminal.summary.text(), /tokens: ~\d+ in, ~\d+ out/)
})

test("an answer does not wait for a count, and lines come in the order in which flows have ended", async (t) => {
  const counts: ((tokens: number) => void)[] = []
  const counted = () => new Promise<number>((resolve) => counts.push(resolve))
  const tokens: TokenService = {
    countRequest: async () => ({ tokens: await counted(), method: "by hand", confidence: "exact" }),
    countText: counted,
    boundRequest: () => 1,
    warm: () => Promise.resolve(),
    vocabulary: () => Promise.reject(new Error("there is none")),
  }
  const streams: ReplyScript = (request, socket) =>
    request.body.includes("stream") ? sseReply(["Hello"])(request, socket) : jsonReply("Hello", USAGE)(request, socket)
  const { send, printed, out } = await printing(t, 1, streams, [], { tokens })
  t.match(await send({ ...CHAT, stream: true }), "Hello")
  t.match(await send({ ...CHAT, model: "gpt-4o-mini" }), "Hello")
  t.equal(out.text, "", "the second one's tokens are known, and it waits for the first one's")
  for (const count of counts) count(7)
  const [first, second] = (await printed()).split("\n")
  t.match(first, "gpt-4o  in ~7  out ~7")
  t.match(second, /gpt-4o-mini.* {2}in 9 {2}out 2/)
})

test("where nothing can be counted the line comes without", async (t) => {
  const fails = () => Promise.reject(new Error("too busy"))
  const tokens: TokenService = {
    countRequest: fails,
    countText: fails,
    boundRequest: () => 1,
    warm: fails,
    vocabulary: fails,
  }
  const { send, printed } = await printing(t, 1, sseReply(["Hello"]), [], { tokens })
  await send({ ...CHAT, stream: true })
  t.equal(await printed(), `${LINE}  200  first N ms  N ms\n`)
})

test("at 3 an answer that streams hangs and is broken between words, however it is cut into pieces", async (t) => {
  const text = "one two three four five six seven\neight nine ten"
  const shown = async (pieces: string[]) => {
    const { send, printed } = await printing(t, 3, sseReply(pieces), [], { columns: 40 })
    await send({ ...CHAT, stream: true })
    return /answer[^P]*/.exec(await printed())?.[0]
  }
  const indent = " ".repeat(17)
  const whole = `answer     one two three four five\n${indent}six seven\n${indent}eight nine ten\n`
  t.match(await shown([text]), whole)
  for (const size of [1, 3, 5])
    t.match(await shown(text.match(new RegExp(`[^]{1,${size}}`, "g")) ?? []), whole, `${size}`)
})

const EVENTS_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
const DONE = "data: [DONE]\n\n"

function event(delta: object): string {
  const choices = [{ index: 0, delta, finish_reason: null }]
  return `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", created: 1, model: "gpt-4o", choices })}\n\n`
}

const textEvent = (content: string) => event({ content })

/** A reply that the test writes itself. */
function stepwise(): { reply: ReplyScript; socket: Promise<Socket> } {
  let came: (socket: Socket) => void = () => {}
  const socket = new Promise<Socket>((resolve) => {
    came = resolve
  })
  return { socket, reply: (_request, accepted) => came(accepted) }
}
