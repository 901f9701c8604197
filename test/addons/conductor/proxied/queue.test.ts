/** Waiting: one request at a time per local host, clients that leave, and comments that keep a stream alive meanwhile. */
import type { Socket } from "node:net"
import { test } from "tap"
import type { AddonContext } from "../../../../lib/api/addon.ts"
import { ManualClock } from "../../../../lib/testing/manual-clock.ts"
import type { OriginRequest } from "../../../../lib/testing/origin.ts"
import { CHAT_PATH, chatBody, localHost, message, type Rig, startRig } from "../../../helpers/conductor-rig.ts"
import {
  answer,
  chatEvent,
  chatJson,
  chunk,
  DONE,
  FINISH,
  jsonAnswer,
  LAST,
  SSE_HEAD,
  sseAnswer,
  textEvent,
  until,
} from "../../../helpers/hosts/proxy-host.ts"
import type { Wire } from "../../../helpers/wire/wire.ts"

const KEY = "Authorization: Bearer sk-own\r\n"
const TEXT = jsonAnswer({ choices: [{ index: 0, text: "ok", finish_reason: "stop" }] })

/** A local host whose answers the test gives. */
function patient() {
  const asked: { prompt: string; socket: Socket }[] = []
  const reply = localHost(({ body }: OriginRequest, socket: Socket) => {
    const { prompt } = JSON.parse(body.toString())
    asked.push({ prompt: /say (\w+)/.exec(prompt)?.[1] ?? "", socket })
  })
  return { asked, reply }
}

async function say(rig: Rig, word: string, more: object = {}, fields = ""): Promise<Wire> {
  const wire = await rig.door()
  const messages = [{ role: "user", content: `say ${word}` }]
  wire.write(message("POST", CHAT_PATH, "localhost", chatBody({ messages, ...more }), fields))
  return wire
}

/** Resolves when the program has had time for whatever it could do. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

test("a local host gets one request at a time, in the order in which they came", async (t) => {
  const { asked, reply } = patient()
  const rig = await startRig(t, { local: reply })
  const wires: Wire[] = []
  for (const word of ["one", "two", "three"]) {
    wires.push(await say(rig, word))
    await until(() => asked.length > 0)
    await settle()
  }
  for (const [at, wire] of wires.entries()) {
    await until(() => asked.length === at + 1)
    await settle()
    t.strictSame(
      asked.map(({ prompt }) => prompt),
      ["one", "two", "three"].slice(0, at + 1),
    )
    asked[at]?.socket.write(TEXT)
    t.equal((await wire.response("POST")).status, 200)
  }
})

test("who waits for a local host is counted, and how long they did", async (t) => {
  const { asked, reply } = patient()
  let given: AddonContext | undefined
  const looks = {
    name: "looks",
    setup(context: AddonContext) {
      given = context
      return {}
    },
  }
  const rig = await startRig(t, { local: reply, builtin: [looks] })
  const told = (name: string) => given?.metrics.all().find((metric) => metric.name === name)?.series[0]
  const wires = [await say(rig, "one")]
  await until(() => asked.length === 1)
  t.equal(told("conductor_queue_waiting"), undefined)
  wires.push(await say(rig, "two"))
  await until(() => told("conductor_queue_waiting")?.value === 1)
  for (const [at, wire] of wires.entries()) {
    await until(() => asked.length === at + 1)
    asked[at]?.socket.write(TEXT)
    t.equal((await wire.response("POST")).status, 200)
  }
  t.match(told("conductor_queue_waiting"), { labels: { target: /^127\.0\.0\.1:\d+$/ }, value: 0 })
  t.equal(told("conductor_queue_seconds")?.buckets?.at(-1)?.count, 1)
})

test("localConcurrency lets more of them in", async (t) => {
  const { asked, reply } = patient()
  const rig = await startRig(t, { local: reply, set: { localConcurrency: 2 } })
  for (const word of ["one", "two", "three"]) await say(rig, word)
  await until(() => asked.length === 2)
  await settle()
  t.equal(asked.length, 2)
})

test("a streamed answer holds its place until its end", async (t) => {
  const { asked, reply } = patient()
  const rig = await startRig(t, { local: reply })
  const first = await say(rig, "one", { stream: true })
  await until(() => asked.length === 1)
  await say(rig, "two")
  asked[0]?.socket.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(textEvent("Hello"))]))
  await first.until("Hello")
  await settle()
  t.equal(asked.length, 1)
  asked[0]?.socket.write(Buffer.concat([chunk(textEvent("", "stop") + DONE), Buffer.from(LAST)]))
  await until(() => asked.length === 2)
})

test("who leaves while waiting leaves the line, who leaves while served makes room and stops the host", async (t) => {
  const { asked, reply } = patient()
  const rig = await startRig(t, { local: reply })
  const served = await say(rig, "served")
  await until(() => asked.length === 1)
  const waiting = await say(rig, "waiting")
  await settle()
  await say(rig, "last")
  await settle()
  waiting.socket.destroy()
  await settle()
  t.equal(asked.length, 1)
  let stopped = false
  asked[0]?.socket.once("close", () => {
    stopped = true
  })
  served.socket.destroy()
  await until(() => asked.length === 2)
  t.equal(asked[1]?.prompt, "last")
  await until(() => stopped)
})

test("a client that leaves amid a local stream stops the host, and the next is served", async (t) => {
  const { asked, reply } = patient()
  const rig = await startRig(t, { local: reply })
  const first = await say(rig, "one", { stream: true })
  await until(() => asked.length === 1)
  await say(rig, "two")
  asked[0]?.socket.write(Buffer.concat([Buffer.from(SSE_HEAD), chunk(textEvent("Hello"))]))
  await first.until("Hello")
  let stopped = false
  asked[0]?.socket.once("close", () => {
    stopped = true
  })
  first.socket.destroy()
  await until(() => stopped && asked.length === 2)
  t.equal(asked[1]?.prompt, "two")
})

test("a host that fails is free for the next, while the first goes to the cloud", async (t) => {
  const { asked, reply } = patient()
  const rig = await startRig(t, { local: reply, cloud: () => {}, set: { cooldownMs: 0 } })
  await say(rig, "one", {}, KEY)
  await until(() => asked.length === 1)
  await say(rig, "two", {}, KEY)
  asked[0]?.socket.write(answer("", "", "500 Oops"))
  await until(() => asked.length === 2)
  await rig.cloud.received(1)
  t.match(rig.cloud.requests[0]?.body.toString(), "say one")
})

test("the wait in the line does not count against the hook's time", async (t) => {
  const clock = new ManualClock(Date.now())
  const { asked, reply } = patient()
  const rig = await startRig(t, { local: reply, clock })
  const wires = [await say(rig, "one")]
  await until(() => asked.length === 1)
  wires.push(await say(rig, "two"))
  await settle()
  clock.advance(600_000)
  for (const [at, wire] of wires.entries()) {
    await until(() => asked.length === at + 1)
    clock.advance(20_000)
    asked[at]?.socket.write(TEXT)
    t.equal((await wire.response("POST")).headers.get("x-llmproxy-route"), "local")
  }
  t.notOk(rig.lines.some((line) => line.includes("took more than")))
})

test("a streaming client that waits is kept alive by comments, and the route is told in the last one", async (t) => {
  const clock = new ManualClock(Date.now())
  const { asked, reply } = patient()
  const rig = await startRig(t, { local: reply, clock })
  await say(rig, "one")
  await until(() => asked.length === 1)
  const wire = await say(rig, "two", { stream: true })
  await settle()
  t.equal(wire.all, "")
  clock.advance(5_000)
  await wire.until(": waiting for the local host\n\n")
  t.match(wire.all, /^HTTP\/1.1 200 OK\r\n.*content-type: text\/event-stream\r\n.*x-llmproxy-route: pending\r\n/is)
  clock.advance(5_000)
  await until(() => wire.all.split(": waiting").length === 3)
  asked[0]?.socket.write(TEXT)
  await until(() => asked.length === 2)
  asked[1]?.socket.write(sseAnswer(textEvent("Hello"), textEvent("", "stop"), DONE))
  const { text } = await wire.response("POST")
  t.match(text, /: route local: needs \d+ of 8192 tokens\n\ndata: \{.*"Hello"/)
  t.ok(text.endsWith("data: [DONE]\n\n"))
})

test("a client that was kept alive gets the cloud's stream when the host fails", async (t) => {
  const clock = new ManualClock(Date.now())
  const { asked, reply } = patient()
  const stream = chatEvent("from the cloud") + FINISH + DONE
  const rig = await startRig(t, { local: reply, clock, cloud: (_, socket) => void socket.write(sseAnswer(stream)) })
  const wire = await say(rig, "one", { stream: true }, KEY)
  await until(() => asked.length === 1)
  clock.advance(5_000)
  await wire.until(": waiting")
  asked[0]?.socket.write(answer("", "", "500 Oops"))
  const { text } = await wire.response("POST")
  t.match(text, /: route cloud: local host failed before the first token: status 500/)
  t.ok(text.endsWith(stream))
})

test("a client that was kept alive gets an error event and a cut when nobody answers", async (t) => {
  const clock = new ManualClock(Date.now())
  const { asked, reply } = patient()
  const rig = await startRig(t, { local: reply, clock })
  const wire = await say(rig, "one", { stream: true })
  await until(() => asked.length === 1)
  clock.advance(5_000)
  await wire.until(": waiting")
  asked[0]?.socket.write(answer("", "", "500 Oops"))
  await wire.ended
  t.match(wire.all, /data: \{"error":\{"message":".*set OPENAI_API_KEY/)
  t.notMatch(wire.all, /\[DONE\]/)
  t.notOk(wire.all.endsWith("0\r\n\r\n"))
})

test("once the cloud is asked and nothing was sent, its own head reaches the client however long it takes", async (t) => {
  const clock = new ManualClock(Date.now())
  const limited = jsonAnswer({ error: { message: "slow down" } }, "429 Too Many Requests", "Retry-After: 7\r\n")
  let proceed: () => void = () => {}
  const rig = await startRig(t, {
    clock,
    cloud: (_, socket) => {
      proceed = () => socket.write(limited)
    },
  })
  const wire = await say(rig, "one", { stream: true }, KEY)
  await rig.cloud.received(1)
  clock.advance(60_000)
  await settle()
  t.equal(wire.all, "")
  proceed()
  const response = await wire.response("POST")
  t.equal(response.status, 429)
  t.equal(response.headers.get("retry-after"), "7")
})

test("a client that wants JSON waits without a byte", async (t) => {
  const clock = new ManualClock(Date.now())
  const { asked, reply } = patient()
  const rig = await startRig(t, { local: reply, clock })
  const wire = await say(rig, "one")
  await until(() => asked.length === 1)
  clock.advance(60_000)
  await settle()
  t.equal(wire.all, "")
  asked[0]?.socket.write(jsonAnswer(chatJson("x")))
  t.equal((await wire.response("POST")).status, 200)
})
