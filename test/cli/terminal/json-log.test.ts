/** The log and the flows as JSON, by the program itself. */
import { type Test, test } from "tap"
import { Redactor } from "../../../lib/base/secrets/redactor.ts"
import { main } from "../../../lib/cli/main.ts"
import { jsonFlows } from "../../../lib/cli/terminal/json-log.ts"
import type { Output } from "../../../lib/cli/terminal/output.ts"
import { defineAddon } from "../../../lib/index.ts"
import { loadAddon } from "../../../lib/testing/index.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { ScriptedOrigin } from "../../../lib/testing/origin.ts"
import { jsonReply } from "../../helpers/hosts/chat-replies.ts"
import { FakeWorld } from "../../helpers/world.ts"

const KEY = `sk-proj-${"k".repeat(40)}`

/** Asks one chat and one port where nobody listens; resolves to what was printed. */
async function printed(t: Test, argv: readonly string[], env: Record<string, string> = {}) {
  const home = t.testdir()
  const origin = await ScriptedOrigin.start(jsonReply("Hello", { prompt_tokens: 9, completion_tokens: 2 }))
  t.teardown(() => origin.close())
  const world = new FakeWorld({ home, cwd: home, env, clock: new ManualClock(Date.UTC(2026, 10, 30)) })
  const base = `http://127.0.0.1:${origin.port}`
  const ending = main(["-p", "0", "--base-upstream", base, ...argv], world)
  await Promise.race([world.err.until("listening on"), ending])
  const url = /listening on (http:[^\s"]+)/.exec(world.err.text)?.[1]
  if (url !== undefined) {
    const headers = { Authorization: `Bearer ${KEY}` }
    const body = JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "Hi" }] })
    await (await fetch(`${url}/v1/chat/completions?api_key=${KEY}`, { method: "POST", headers, body })).text()
    await world.out.until("\n")
    world.signal("SIGTERM")
  }
  return { status: await ending, out: world.out.text, err: world.err.text }
}

const linesOf = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line): Record<string, unknown> => JSON.parse(line))

test("each line of the log and each flow is a line of JSON, without keys", async (t) => {
  const { status, out, err } = await printed(t, ["--log-format", "json"])
  t.equal(status, 0)
  t.match(linesOf(err).at(0), { time: "2026-11-30T00:00:00.000Z", level: "info", message: /^listening on http/ })
  const [flow, ...others] = linesOf(out)
  t.equal(others.length, 0)
  t.match(flow, {
    time: "2026-11-30T00:00:00.000Z",
    level: "info",
    flow: /^[0-9a-f-]{36}$/,
    method: "POST",
    status: 200,
    dialect: "openai-chat",
    model: "gpt-4o",
    finishReason: "stop",
    inputTokens: 9,
    outputTokens: 2,
    endMs: 0,
  })
  t.notMatch(out + err, KEY)
  t.notMatch(out, "error")
})

test("-q prints no flow, and LOG_LEVEL says what is logged, in any case", async (t) => {
  const quiet = await printed(t, ["--log-format", "json", "--flow-detail", "0", "-p", "70000"])
  t.equal(quiet.status, 2)
  const warned = await printed(t, ["-p", "70000", "--log-format", "json"], { LOG_LEVEL: "WARNING" })
  t.equal(warned.status, 2)
  const wrong = await printed(t, [], { LOG_LEVEL: "loud" })
  t.strictSame(
    [wrong.status, wrong.err],
    [2, 'llmproxy: logLevel "loud": must be one of debug, info, warn, error (LOG_LEVEL sets it, too)\n'],
  )
  t.match((await printed(t, [], { LOG_LEVEL: "INFO" })).err, /^ending: open streams/m)
  t.notMatch((await printed(t, [], { LOG_LEVEL: "WARNING" })).err, /^ending: open streams/m)
})

test("a flow that failed says why", async (t) => {
  const home = t.testdir()
  const world = new FakeWorld({ home, cwd: home, clock: new ManualClock(0) })
  const ending = main(["-p", "0", "--base-upstream", "http://127.0.0.1:1", "--log-format", "json"], world)
  await world.err.until("listening on")
  const url = /listening on (http:[^\s"]+)/.exec(world.err.text)?.[1]
  await (await fetch(`${url}/v1/models`)).text()
  await world.out.until("\n")
  world.signal("SIGTERM")
  t.equal(await ending, 0)
  t.match(linesOf(world.out.text).at(0), { level: "warn", error: { code: "connection-refused", message: /refused/ } })
})

test("what a flow has is in its record: a route, a model's error, an attempt, a cut", async (t) => {
  const lines: string[] = []
  const redactor = new Redactor()
  const out = { write: (text: string) => lines.push(text) > 0, columns: undefined, isTerminal: false }
  const routed = defineAddon({
    name: "routed",
    async llmRequest(flow) {
      if (flow.parent !== undefined || flow.llm.request.model !== "attempt") return
      flow.route({ url: "https://second.test/v1/chat/completions", name: "second", reason: "it is better" })
      flow.respond(await flow.send({ json: flow.llm.request.body }, { url: "https://third.test/v1/chat/completions" }))
    },
  })
  const addon = await loadAddon(jsonFlows(out as unknown as Output, redactor), { others: [routed] })
  t.teardown(() => addon.close())
  addon.answer("Hello")
  await addon.chat("Hi", { model: "attempt" })
  addon.answer({ status: 429, error: { code: "rate_limit_exceeded", message: "slow" } })
  await addon.chat("Hi")
  addon.answer({ status: 200, text: "plain" })
  await addon.request({ url: "https://a.test/other" })
  const records = lines.map((line): Record<string, unknown> => JSON.parse(line))
  t.match(records, [
    { parent: records[1]?.flow, status: 200 },
    { route: "second", reason: "it is better", routeUrl: "https://second.test/v1/chat/completions" },
    { level: "info", status: 429, modelError: { kind: "rate_limit", message: "slow" } },
    { status: 200, url: "https://a.test/other" },
  ])
  t.notOk(records[3]?.model)
})
