/** The table of a flow's life: what it says is what real flows do, cell by cell. */
import assert from "node:assert/strict"
import { type Test, test } from "tap"
import type { Flow } from "../../../lib/api/flow.ts"
import {
  type Deed,
  FAILED,
  type FlowEvent,
  LIFE,
  next,
  type Phase,
  type Ruling,
  ruling,
} from "../../../lib/proxy/flow/life.ts"
import { addon, chat, chatJson, jsonAnswer, origin, type ProxyHost, startHost } from "../../helpers/hosts/proxy-host.ts"

const PHASES = Object.keys(LIFE) as Phase[]
const DEEDS = Object.keys(LIFE.request.may) as Deed[]
const EVENTS: readonly FlowEvent[] = ["ask", "arrive", "pass", "hold", "send", "end"]

test("who may do what, phase by phase: request, upstream, head, answer, held, ended", async () => {
  const columns = DEEDS.map((deed) => `${deed}: ${PHASES.map((phase) => LIFE[phase].may[deed]).join(" ")}`)
  assert.deepEqual(PHASES, ["request", "upstream", "head", "answer", "held", "ended"])
  assert.deepEqual(columns, [
    "respond: yes late yes late yes void",
    "route: yes late late late late late",
    "shape: late late yes late late late",
    "edit: late late late late yes late",
    "keepLocal: yes yes yes yes yes yes",
    "send: yes yes yes yes yes over",
    "fail: yes yes yes yes yes void",
  ])
})

test("every phase but the last ends, and what the table does not say cannot happen", async () => {
  for (const phase of PHASES) {
    for (const event of EVENTS) {
      const to = LIFE[phase].next[event]
      if (to === undefined) assert.throws(() => next(phase, event), new RegExp(`phase ${phase} cannot ${event}`))
      else assert.equal(next(phase, event), to)
    }
    assert.equal(LIFE[phase].next.end, phase === "ended" ? undefined : "ended", phase)
  }
})

test("every phase is reached from the first one", async () => {
  const reached = new Set<Phase>(["request"])
  for (const phase of reached) for (const to of Object.values(LIFE[phase].next)) reached.add(to)
  assert.deepEqual([...reached].sort(), [...PHASES].sort())
})

test("of a flow that has failed the table says the same, but for what FAILED says", async () => {
  for (const phase of PHASES) {
    for (const deed of DEEDS) {
      assert.equal(ruling(phase, false, deed), LIFE[phase].may[deed])
      assert.equal(ruling(phase, true, deed), FAILED[deed] ?? LIFE[phase].may[deed])
    }
  }
})

/** A proxy whose addon does `act` when a flow is in `phase`. */
interface Stage {
  readonly host: ProxyHost
  readonly port: number
  phase: Phase
  act(flow: Flow): Promise<void>
}

async function stageOf(t: Test): Promise<Stage> {
  let present: Flow | undefined
  const at = async (phase: Phase, flow: Flow | undefined) => {
    if (flow !== undefined && stage.phase === phase) await stage.act(flow)
  }
  const acts = addon("acts", {
    async requestHeaders(flow) {
      present = flow
      await at("request", flow)
    },
    async responseHeaders(flow) {
      if (stage.phase === "held") flow.response?.hold()
      await at("head", flow)
    },
    llmResponse: (flow) => at("held", flow),
    response: (flow) => at("answer", flow),
  })
  const host = await startHost(t, { addons: [acts] })
  const up = await origin(t, async ({ target }, socket) => {
    if (target !== "/child") await at("upstream", present)
    socket.write(jsonAnswer(chatJson("from upstream")))
  })
  const stage: Stage = { host, port: up.port, phase: "request", act: async () => {} }
  return stage
}

/** One chat, to the end of its flow. Resolves with all that the client got. */
async function run({ host, port }: Stage): Promise<string> {
  const wire = await host.connect()
  let text = ""
  wire.socket.on("data", (bytes: Buffer) => {
    text += bytes.toString()
  })
  wire.write(chat(port, {}, "Connection: close\r\n"))
  await wire.ended
  await host.settled()
  return text
}

/** Resolves with whether a child was sent. */
async function attempt(flow: Flow, deed: Deed, port: number): Promise<boolean> {
  const url = `http://127.0.0.1:${port}`
  if (deed === "respond") flow.respond({ text: "instead" })
  else if (deed === "route") flow.route({ url, name: "elsewhere" })
  else if (deed === "keepLocal") flow.keepLocal("why")
  else if (deed === "fail") flow.kill("enough")
  else if (deed === "send") await flow.send({ method: "GET" }, { url: `${url}/child` })
  else if (deed === "edit" && flow.response !== undefined) flow.response.completion = { text: "edited" }
  else if (flow.response === undefined) throw new Error("it comes too late, or too early: there is no response")
  else flow.response.status = 299
  return deed === "send"
}

/** What became of `deed`, as the table calls it; "failed": it has thrown what the flow failed with. */
async function outcome(stage: Stage, phase: Phase, deed: Deed, failed: boolean): Promise<Ruling | "failed"> {
  let flow: Flow | undefined
  let thrown: unknown
  let sent = false
  const doIt = async (one: Flow) => {
    sent = await attempt(one, deed, stage.port).catch((error) => {
      thrown = error
      return false
    })
  }
  // What has ended is seen in its last hook, and asked afterwards.
  stage.phase = phase === "ended" ? "answer" : phase
  stage.act = async (one) => {
    flow = one
    if (failed) one.kill("it has failed")
    if (phase !== "ended") await doIt(one)
  }
  const text = await run(stage)
  if (flow === undefined) throw new Error(`no flow came to the phase ${phase}`)
  if (phase === "ended") await doIt(flow)
  if (thrown !== undefined) return nameOf(thrown, flow)
  const done: Record<Deed, boolean> = {
    respond: text.includes("instead"),
    route: flow.routed?.name === "elsewhere",
    shape: flow.response?.status === 299,
    edit: flow.response?.completion?.text === "edited",
    keepLocal: flow.localOnly,
    send: sent,
    fail: flow.error?.message === "enough",
  }
  return done[deed] ? "yes" : "void"
}

function nameOf(thrown: unknown, flow: Flow): Ruling | "failed" {
  if (thrown === flow.error) return "failed"
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  if (message.includes("comes too late")) return "late"
  if (message.includes("has ended")) return "over"
  throw thrown
}

for (const failed of [false, true]) {
  test(`a flow ${failed ? "that has failed " : ""}allows in each phase what the table says`, async (t) => {
    const made = await stageOf(t)
    for (const phase of PHASES) {
      for (const deed of DEEDS) {
        const said = ruling(phase, failed, deed)
        // A child of a flow that has failed is not sent: the send rejects as the flow did.
        const expected = failed && deed === "send" && said === "yes" ? "failed" : said
        assert.equal(await outcome(made, phase, deed, failed), expected, `${phase}: ${deed}`)
      }
    }
  })
}
