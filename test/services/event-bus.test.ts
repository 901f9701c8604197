import { test } from "tap"
import { makeLogger } from "../../lib/base/log.ts"
import { eventsFor, LocalBus } from "../../lib/services/event-bus.ts"

function addons() {
  const bus = new LocalBus()
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`))
  const made = () => {
    const ending = new AbortController()
    return { events: eventsFor(bus, ending.signal, log), ending }
  }
  return { made, lines }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test("an event comes to all who listen, in order, to each as its own copy, and after publish has returned", async (t) => {
  const { made } = addons()
  const [one, other] = [made(), made()]
  const heard: unknown[] = []
  await one.events.subscribe("a.b", (value) => {
    heard.push(["one", structuredClone(value)])
    if (typeof value === "object" && value !== null && !Array.isArray(value)) value.n = "changed"
  })
  await other.events.subscribe("a.b", (value) => void heard.push(["other", value]))
  await other.events.subscribe("a.c", () => void heard.push("none"))
  const published = Promise.all([one.events.publish("a.b", { n: 1 }), one.events.publish("a.b", null)])
  t.strictSame(heard, [])
  await published
  await turn()
  t.strictSame(heard, [
    ["one", { n: 1 }],
    ["other", { n: 1 }],
    ["one", null],
    ["other", null],
  ])
})

test("what one listener throws or rejects with is logged, and hurts no other", async (t) => {
  const { made, lines } = addons()
  const { events } = made()
  const heard: unknown[] = []
  await events.subscribe("a", () => {
    throw new Error("threw")
  })
  await events.subscribe("a", () => Promise.reject(new Error("rejected")))
  await events.subscribe("a", (value) => void heard.push(value))
  await events.publish("a", 1)
  await turn()
  t.strictSame(heard, [1])
  t.strictSame(lines, ['error event "a": its listener failed: threw', 'error event "a": its listener failed: rejected'])
})

test("a subscription ends when it is ended, and with its addon's version, what is on its way included", async (t) => {
  const { made } = addons()
  const [one, other] = [made(), made()]
  const heard: unknown[] = []
  const end = await one.events.subscribe("a", (value) => void heard.push(["ended", value]))
  await other.events.subscribe("a", (value) => void heard.push(["gone", value]))
  await one.events.publish("a", 1)
  await turn()
  t.equal(heard.length, 2)
  const published = one.events.publish("a", 2)
  other.ending.abort()
  await Promise.all([published, end()])
  await end()
  await one.events.publish("a", 3)
  await turn()
  t.strictSame(
    heard.filter((one) => JSON.stringify(one).includes("3")),
    [],
  )
  t.notMatch(JSON.stringify(heard), '["gone",2]')
  const late = await other.events.subscribe("a", () => void heard.push("late"))
  await one.events.publish("a", 4)
  await turn()
  await late()
  t.notMatch(JSON.stringify(heard), "late", "a version that has ended hears nothing any more")
})

test("a wrong name, no JSON and too much of it are refused", async (t) => {
  const { events } = addons().made()
  for (const name of ["", "a b", "a\n", "x".repeat(201)]) {
    await t.rejects(events.publish(name, 1), { name: "TypeError", message: /a name is at most 200 letters/ })
    await t.rejects(
      events.subscribe(name, () => {}),
      TypeError,
    )
  }
  await t.rejects(events.publish("a", undefined as unknown as null), { message: 'event "a": the value is no JSON' })
  await events.publish("a", "x".repeat(6_998))
  await t.rejects(events.publish("a", "é".repeat(3_500)), { name: "RangeError", message: /7002 bytes .* at most 7000/ })
})
