/** The summary counts each flow of a client once, by route, with its tokens. */
import { test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { NO_TOKENS } from "../../../lib/cli/terminal/flow-usage.ts"
import { Summary } from "../../../lib/cli/terminal/summary.ts"
import { CHAT, endedChat, endedFlow } from "../../helpers/shown-flow.ts"

test("nothing happened: nothing is said", async (t) => {
  t.equal(new Summary().text(), "")
})

test("requests, routes, tokens and the tokens kept local are told", async (t) => {
  const summary = new Summary()
  const usage = { input: 1_000, output: 200, isCounted: false }
  for (let i = 0; i < 3; i++) summary.add(await endedChat(CHAT, { status: 200, routed: { name: "local" } }), usage)
  summary.add(await endedChat(CHAT, { status: 200, routed: { name: "cloud" } }), usage)
  summary.add(await endedChat(CHAT, { status: 500 }), NO_TOKENS)
  summary.add(await endedFlow({}, { error: new FlowError("client", "client-gone", "") }), NO_TOKENS)
  t.equal(
    summary.text(),
    "6 requests, 2 failed\nroutes: local 3, cloud 1, direct 1\ntokens: 4,000 in, 800 out\nkept local: 3,600 tokens (75 %)\n",
  )
})

test("one request without a model is one line, and counted tokens are marked", async (t) => {
  const summary = new Summary()
  summary.add(await endedFlow({}, { status: 200 }), NO_TOKENS)
  t.equal(summary.text(), "1 request\n")
  summary.add(await endedChat(CHAT, { status: 200 }), { input: 5, output: 1, isCounted: true })
  t.match(summary.text(), "tokens: ~5 in, ~1 out")
})

test("routes without end are counted together", async (t) => {
  const summary = new Summary()
  for (let i = 0; i < 40; i++) summary.add(await endedChat(CHAT, { routed: { name: `r${i}` } }), NO_TOKENS)
  t.match(summary.text(), /r31 1, others 8\n/)
})
