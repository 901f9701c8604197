/** The demo's client, from source: it tells what came, whichever way it asked, and why where nothing did. */
import { createHash } from "node:crypto"
import { join } from "node:path"
import { type Test, test } from "tap"
import type { Door } from "../../../lib/cli/demo/messages.ts"
import { DemoChild, demoEnvironment, OWN_BUILD } from "../../../lib/cli/demo/processes.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { type ReplyScript, ScriptedOrigin } from "../../../lib/testing/origin.ts"
import { CHAT_PATH, startRig } from "../../helpers/conductor-rig.ts"
import { httpReply, jsonReply, sseReply } from "../../helpers/hosts/chat-replies.ts"
import { chatEvent, chatJson, jsonAnswer, sseAnswer } from "../../helpers/hosts/proxy-host.ts"
import { always } from "../../helpers/test-proxy.ts"

const USAGE = { prompt_tokens: 7, completion_tokens: 3 }

interface Asking {
  readonly client: DemoChild
  ask(stream: boolean, door?: Door): ReturnType<typeof outcome>
}

/** A client of the proxy at `url`, whose CA's certificate is `ca`. */
function clientOf(t: Test, url: string, ca = ""): Asking {
  const cwd = t.testdir({ "ca.pem": ca })
  const place = { build: OWN_BUILD, env: demoEnvironment(process.env), cwd, clock: new ManualClock() }
  const client = new DemoChild("client", [url, join(cwd, "ca.pem")], place)
  t.teardown(() => client.stop())
  return { client, ask: (stream, door = "base URL") => outcome(client, stream, door) }
}

function outcome(client: DemoChild, stream: boolean, door: Door) {
  const told = client.next("outcome")
  client.send({ kind: "job", door, stream, text: "Say hello." })
  return told
}

/** In the proxy's place: what the client reads at a base URL is what `reply` writes. */
async function host(t: Test, reply: ReplyScript) {
  const origin = await ScriptedOrigin.start(reply)
  t.teardown(() => origin.close())
  return { origin, ...clientOf(t, `http://127.0.0.1:${origin.port}`) }
}

test("an answer is told with its texts, its tokens and the hash of what was sent", async (t) => {
  const { origin, ask } = await host(t, jsonReply("Hello there.", USAGE))
  const told = await ask(false)
  const [request] = origin.requests
  t.match(request, { method: "POST", target: CHAT_PATH, head: /\r\nAuthorization: Bearer sk-demo-not-a-key\r\n/i })
  t.strictSame(JSON.parse(String(request?.body)), {
    model: "gpt-4o",
    messages: [{ role: "user", content: "Say hello." }],
  })
  t.match(told, { model: "gpt-4o", text: "Hello there.", pieces: 1, finishReason: "stop", tokensIn: 7 })
  t.match(told, { route: "", reason: "", bytes: request?.body.length })
  t.equal(
    told.sha256,
    createHash("sha256")
      .update(request?.body ?? "")
      .digest("hex"),
  )
})

test("a stream is told as its texts, and how many pieces they came in", async (t) => {
  const { origin, ask } = await host(t, sseReply(["Hello", "", " there", "."]))
  t.match(await ask(true), { model: "gpt-4o", text: "Hello there.", pieces: 3, finishReason: "stop" })
  const { stream, stream_options } = JSON.parse(String(origin.requests[0]?.body))
  t.strictSame([stream, stream_options], [true, { include_usage: true }])
})

test("what is no answer is told in its own words, and the client goes on", async (t) => {
  const error = `data: ${JSON.stringify({ error: { message: "out of memory" } })}\n\n`
  const failures: [stream: boolean, reply: ReplyScript, message: RegExp][] = [
    [false, httpReply(429, { error: { message: "slow down" } }), /^demo: client: 429: .*slow down/],
    [false, httpReply(200, { object: "list" }), /^demo: client: the answer is no chat completion$/],
    [true, always(sseAnswer(chatEvent("Hel")).toString()), /^demo: client: the stream broke off$/],
    [true, always(sseAnswer(chatEvent("Hel"), error).toString()), /^demo: client: out of memory$/],
  ]
  const replies = [...failures.map(([, reply]) => reply), jsonReply("Hello")]
  const { ask } = await host(t, (request, socket) => replies.shift()?.(request, socket))
  for (const [stream, , message] of failures) await t.rejects(ask(stream), { name: "StartError", message })
  t.match(await ask(false), { text: "Hello" })
})

test("by interception it asks api.openai.com, through the proxy, and trusts the proxy's CA", async (t) => {
  const answer = jsonAnswer(chatJson("Hello from afar."), "200 OK", "x-llmproxy-route: cloud\r\n")
  const rig = await startRig(t, { cloud: always(answer.toString()), scripts: [] })
  const { ask } = clientOf(t, `http://127.0.0.1:${rig.port}`, String(rig.app.ca.cert))
  const told = await ask(false, "interception")
  t.match(told, { text: "Hello from afar.", route: "cloud" })
  t.match(rig.cloud.requests[0]?.head, /\r\nhost: api\.openai\.com\r\n/i)
})
