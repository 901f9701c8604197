/** `send` of an addon's context, through the running program: who sends is known wherever it is called. */
import { test } from "tap"
import type { AddonDefinition } from "../../lib/api/addon.ts"
import type { Answer, Flow } from "../../lib/api/flow.ts"
import { PLAIN } from "../../lib/cli/terminal/paint.ts"
import { makeTerminal } from "../../lib/cli/terminal/terminal.ts"
import { answer, gate, origin, request, until } from "../helpers/hosts/proxy-host.ts"
import { GET, jobs, refusalOf, turns, watching, world } from "./send-rig.ts"
import { folderWith, startedWith } from "./started.ts"

const never = new Promise<void>(() => {})
const LATE = /took more than 5000 ms/

test("without a parent the addon is the client, every other addon sees the flow, and nobody asks who that is", async (t) => {
  const own = watching("own")
  const other = watching("other")
  const { addon, send } = jobs(own.hooks)
  const shown: string[] = []
  const out = {
    isTerminal: false,
    columns: undefined,
    write: (text: string) => void shown.push(text),
    settled: async () => undefined,
  }
  const terminal = makeTerminal({ out, paint: PLAIN, detail: 1 }).addon ?? {}
  const { url, clock } = await world(t, { builtin: [terminal, addon, other.addon] })
  let sent: Promise<Answer> | undefined
  clock.after(1_000, () => {
    sent = send(url("/timer"))
  })
  clock.advance(1_000)
  const answered = await sent
  t.equal(await answered?.text(), "said /timer")
  await until(() => other.flows.length === 1)
  t.strictSame(own.seen, [], "its own hooks are told nothing")
  t.strictSame(other.seen, ["request /timer", "response /timer"], "authenticate is not asked")
  const [flow] = other.flows
  t.match(flow?.client, { id: "addon:jobs", user: undefined, address: "", port: 0, tls: undefined, mayUseKeys: true })
  t.equal(flow?.parent, undefined)
  t.match(flow?.snapshot(), { parentId: undefined, client: { id: "addon:jobs" } })
  t.equal(answered?.flow.client.id, "addon:jobs")
  t.match(
    shown.join(""),
    /^\S+ \S+ {2}GET 127\.0\.0\.1:\d+\/timer {2}addon:jobs {2}200/,
    "its line begins as a client's",
  )
})

test("its own transforms are not applied to what it sends, another addon's are", async (t) => {
  const marking = (mark: string) => (flow: Flow) =>
    flow.response?.transform((bytes: Buffer) => Buffer.from(`${bytes}${mark}`))
  const { addon, send } = jobs({ responseHeaders: marking(" by itself") })
  const other: AddonDefinition = { name: "other", responseHeaders: marking(" by another") }
  const { url } = await world(t, { builtin: [addon, other] })
  t.equal(await (await send(url("/a"))).text(), "said /a by another")
})

test("with a parent it is that flow's child: its client's, shown to others alone, and gone with it", async (t) => {
  const other = watching("other")
  const made = jobs({
    async requestHeaders(flow) {
      const { path } = flow.request
      if (path === "/leaves") await made.send(url("/child/silent"), { parent: flow })
      else flow.respond(await made.send(url(`/child${path}`), { parent: flow }))
    },
  })
  const { url, host, connect } = await world(t, { builtin: [made.addon, other.addon] })
  const wire = await connect()
  wire.write(request("GET", host.port, "/a"))
  t.equal((await wire.response()).text, "said /child/a")
  await until(() => other.flows.length === 2)
  const [child, parent] = other.flows
  t.equal(child?.parent, parent, "and not a flow of its own")
  t.equal(child?.client, parent?.client)
  t.strictSame(
    host.requests.map(({ target }) => target),
    ["/child/a"],
    "its own hook did not send for its child",
  )
  other.seen.length = 0
  wire.write(request("GET", host.port, "/leaves"))
  await host.received(2)
  wire.socket.destroy()
  await until(() => other.seen.length >= 4)
  t.strictSame(other.seen, [
    "authenticate /leaves",
    "request /child/silent",
    "error /child/silent client-gone",
    "error /leaves client-gone",
  ])
})

test("a kill of the parent reaches who waits for the child", async (t) => {
  let refused: Promise<string> | undefined
  const made = jobs({
    requestHeaders(flow) {
      refused = refusalOf(made.send(url("/silent"), { parent: flow }))
      return never
    },
  })
  let parent: Flow | undefined
  const holds: AddonDefinition = {
    name: "holds",
    requestHeaders: (flow) => {
      parent = flow.parent
    },
  }
  const { url, host, connect } = await world(t, { builtin: [made.addon, holds] })
  const wire = await connect()
  wire.write(request("GET", host.port, "/a"))
  await host.received(1)
  parent?.kill("enough")
  t.equal(await refused, "killed")
})

test("a parent that has ended, and what is no flow, are refused; nothing is sent", async (t) => {
  let flow: Flow | undefined
  const made = jobs({
    response: (ended) => {
      flow = ended
    },
  })
  const { url, host, connect } = await world(t, { builtin: [made.addon] })
  const wire = await connect()
  wire.write(request("GET", host.port, "/a"))
  await wire.response()
  await until(() => flow?.timings.endMs !== undefined)
  await turns()
  t.equal(await refusalOf(made.send(url("/b"), { parent: flow as Flow })), "ended")
  for (const parent of [{}, { id: "x", send: made.send }, "flow", null] as never[])
    t.match(await refusalOf(made.send(url("/b"), { parent })), /addon "jobs": send: parent is no flow/)
  t.match(await refusalOf(made.context.send(GET, {} as never)), /addon "jobs": send: there is no url/)
  t.match(await refusalOf(made.context.send(GET, undefined as never)), /TypeError/)
  t.match(await refusalOf(made.send("ftp://127.0.0.1/")), /is no http or https URL/)
  t.equal(host.requests.length, 1)
})

test("who sends is who calls, whosever flow is the parent", async (t) => {
  let lent: Flow | undefined
  const own = watching("jobs")
  const lender = watching("lender")
  const made = jobs(own.hooks)
  const lends: AddonDefinition = {
    ...lender.addon,
    async request(flow) {
      if (flow.parent !== undefined) return
      lent = flow
      await flow.waitFor(never)
    },
  }
  const { url, host, connect } = await world(t, { builtin: [made.addon, lends] })
  const wire = await connect()
  wire.write(request("GET", host.port, "/a"))
  await until(() => lent !== undefined)
  t.equal((await made.send(url("/b"), { parent: lent as Flow })).status, 200)
  t.ok(lender.seen.includes("request /b"), "the addon that has lent it sees the child")
  t.notOk(own.seen.includes("request /b"), "the one that has sent it does not")
})

test("the time of a hook stands still while it awaits what it has sent with its flow, or by waitFor", async (t) => {
  const { opened, open } = gate()
  const slow = await origin(t, async (_, socket) => {
    await opened
    socket.write(answer("slow"))
  })
  const url = `http://127.0.0.1:${slow.port}/`
  const ways: Record<string, (flow: Flow) => Promise<Answer>> = {
    "/parent": (flow) => made.send(url, { parent: flow }),
    "/waits": (flow) => flow.waitFor(made.send(url)),
    "/alone": () => made.send(url),
  }
  const made = jobs({
    async request(flow) {
      const answered = await ways[flow.request.path]?.(flow)
      flow.respond({ text: `${await answered?.text()} ${flow.request.path}` })
    },
  })
  const { host, connect, clock, lines } = await world(t, { builtin: [made.addon] })
  const wires = []
  for (const path of Object.keys(ways)) {
    const wire = await connect()
    wire.write(request("GET", host.port, path))
    wires.push(wire)
  }
  await slow.received(3)
  await turns()
  clock.advance(60_000)
  await until(() => lines.length > 0)
  open()
  const texts = await Promise.all(wires.map(async (wire) => (await wire.response()).text))
  t.strictSame(texts, ["slow /parent", "slow /waits", "said /alone"])
  t.match(lines, [LATE])
})

test("it may be called from `running` on, whose time stands still; in setup, load and configure it is too early", async (t) => {
  const { opened, open } = gate()
  const slow = await origin(t, async (_, socket) => {
    await opened
    socket.write(answer("late"))
  })
  const url = `http://127.0.0.1:${slow.port}/`
  const early: Promise<string>[] = []
  const tooEarly = () => void early.push(refusalOf(made.send(url)))
  let said = ""
  const running = async () => {
    said = await (await made.send(url)).text()
  }
  const made = jobs(
    { load: tooEarly, configure: tooEarly, running },
    ({ send }) => void early.push(refusalOf(send(GET, { url }))),
  )
  const starting = startedWith(t, await folderWith(t, {}), { builtin: [made.addon] })
  await slow.received(1)
  await turns()
  made.clock.advance(60_000)
  open()
  const { lines } = await starting
  t.equal(said, "late")
  t.strictSame(await Promise.all(early), ["send-too-early", "send-too-early", "send-too-early"])
  t.strictSame(lines, [])
})
