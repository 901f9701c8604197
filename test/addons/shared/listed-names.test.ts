/** Names that an addon has listed by another one: told when they change and when they are asked for, and read with care. */
import { test } from "tap"
import { hearListed, type ListedName, tellListed } from "../../../addons/shared/listed-names.ts"
import { WANTED } from "../../../addons/shared/local-upstream.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { eventsFor, LocalBus } from "../../../lib/services/event-bus.ts"

const turn = () => new Promise((resolve) => setImmediate(resolve))

function addons() {
  const bus = new LocalBus()
  const log = makeLogger(() => {})
  const made = () => eventsFor(bus, new AbortController().signal, log)
  return { teller: made(), hearer: made() }
}

test("names are told at once, whenever somebody asks, and anew", async (t) => {
  const { teller, hearer } = addons()
  const heard: (readonly ListedName[])[] = []
  await hearListed(hearer, (names) => heard.push(names))
  let names = [{ id: "profile:a", model: "m" }]
  const tell = await tellListed(teller, () => names)
  await turn()
  await hearer.publish(WANTED, true)
  await turn()
  names = [...names, { id: "profile:b", model: "n" }]
  await tell()
  await turn()
  t.same(heard, [names.slice(0, 1), names.slice(0, 1), names])
})

test("what is no name is not heard, and more than an event holds is not told", async (t) => {
  const { teller, hearer } = addons()
  let heard: readonly ListedName[] | undefined
  await hearListed(hearer, (names) => {
    heard = names
  })
  const mixed = [7, null, "a", [], {}, { id: "x" }, { model: "m" }, { id: "x", model: 7 }, { id: "x", model: "m" }]
  for (const said of ["text", mixed]) {
    await teller.publish("models.listed", said)
    await turn()
    t.same(heard, said === mixed ? [{ id: "x", model: "m" }] : [])
  }
  const many = Array.from({ length: 1_000 }, (_, i) => ({ id: `profile:${i}`, model: "m" }))
  await tellListed(teller, () => many)
  await turn()
  const count = heard?.length ?? 0
  t.ok(count > 100 && count < 1_000, `${count} are told`)
  t.same(heard, many.slice(0, count), "the first ones")
})
