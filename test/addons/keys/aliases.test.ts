/** A name of the routes' own costs what the models behind it cost, before it is known which of them answers. */
import { test } from "tap"
import models from "../../../addons/models.ts"
import { hearNames, tellNames } from "../../../addons/shared/named-models.ts"
import { defineAddon } from "../../../lib/index.ts"
import { loadAddon } from "../../../lib/testing/index.ts"
import { startKeys } from "./rig.ts"

const MICRO = 1_000_000
const UPSTREAMS = { openai: { url: "https://api.openai.com/v1" }, box: { url: "http://box.test:1234/v1" } }

test("a key with a limit of money may ask for an alias, and reserves what the dearest behind it costs", async (t) => {
  const routes = [
    {
      model: "fast",
      to: [
        { upstream: "box", model: "qwen" },
        { upstream: "openai", model: "gpt-4o-mini" },
      ],
    },
    { model: "nobody", to: [{ upstream: "box", model: "qwen" }] },
  ]
  const env = { LLMPROXY_MODELS_UPSTREAMS: JSON.stringify(UPSTREAMS), LLMPROXY_MODELS_ROUTES: JSON.stringify(routes) }
  const rig = await startKeys(t, {}, { others: [models], env })
  rig.addon.answer({ completion: { text: "Hello", usage: { inputTokens: 1_000, outputTokens: 100 } } })
  const key = await rig.make({ limits: { money: { day: MICRO } } })
  t.equal((await rig.chat(key, { model: "fast" })).status, 200)
  t.equal((await rig.chat(key, { model: "openai/gpt-4o" })).status, 200, "and one with its upstream's name")
  const unknown = await rig.chat(key, { model: "nobody" })
  t.match([unknown.status, unknown.error?.message], [403, /price/])
  const poor = await rig.make({ limits: { money: { day: 1 } } })
  t.equal((await rig.chat(poor, { model: "fast" })).status, 429, "what it may cost is more than there is")
})

test("names are told now, to whoever asks later, and with each change; of very many the first", async (t) => {
  const names = [
    {
      pattern: "fast",
      ways: [
        { host: "a", model: undefined },
        { host: "b", model: "m" },
      ],
    },
  ]
  let find: Awaited<ReturnType<typeof hearNames>> = () => []
  let tell = async () => {}
  const teller = defineAddon({
    name: "teller",
    setup: ({ events }) => ({
      async load() {
        tell = await tellNames(events, () => names)
      },
    }),
  })
  const hearer = defineAddon({
    name: "hearer",
    setup: ({ events }) => ({
      async load() {
        find = await hearNames(events)
        await events.publish("models.names", [1, { pattern: 2 }, { pattern: "odd", ways: [1, [2], ["c"]] }])
      },
    }),
  })
  const addon = await loadAddon(hearer, { others: [teller] })
  t.teardown(() => addon.close())
  await tell()
  while (find("FAST").length === 0) await new Promise(setImmediate)
  t.strictSame(find("FAST"), names[0]?.ways)
  t.strictSame(find("other"), [])
  for (let n = 0; n < 1_000; n++) names.push({ pattern: `m${n}`, ways: [{ host: "h", model: undefined }] })
  await tell()
  while (find("m0").length === 0) await new Promise(setImmediate)
  t.strictSame(find("m999"), [])
})
