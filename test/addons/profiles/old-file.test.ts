/** Local-LLM-API's data/config.json, as it is, and what happens when it changes. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { LOOK_MS } from "../../../addons/profiles/book.ts"
import { readOldFile } from "../../../addons/profiles/old-file.ts"
import { offerModels } from "../../../addons/shared/local-upstream.ts"
import type { JsonObject } from "../../../lib/base/json.ts"
import { chat, lastBody, OLD_PROFILE, startProfiles } from "./rig.ts"

const VICUNA = "Vicuna-13b"

test("the file is read with SelectedModel first or not, and a byte order mark before it", async (t) => {
  const first = JSON.stringify({ SelectedModel: VICUNA, [VICUNA]: OLD_PROFILE })
  for (const text of [first, `\uFEFF${first}`, JSON.stringify({ [VICUNA]: OLD_PROFILE, SelectedModel: VICUNA })]) {
    const { profiles, selected } = readOldFile(text, "config.json")
    t.equal(selected, VICUNA)
    t.match(profiles, [
      { name: VICUNA, model: OLD_PROFILE.model, context: 4096, defaults: { top_k: 40, max_tokens: 16000 } },
    ])
  }
  t.same(
    readOldFile(JSON.stringify({ [VICUNA]: { ...OLD_PROFILE, n_batch: 8, max_tokens: -1 } }), "f").selected,
    undefined,
  )
})

test("what is wrong with it is told with its line, and what is right", async (t) => {
  const lines = (profile: object, selected: unknown = VICUNA) =>
    JSON.stringify({ SelectedModel: selected, [VICUNA]: profile }, undefined, 2)
  for (const [text, message] of [
    ['{\n "a": 1,\n}', /^f:3: it is no JSON: /],
    ["[]", /^f:1: must be an object of profiles by name/],
    [
      lines({ ...OLD_PROFILE, temperature: "hot" }),
      /^f:6: Vicuna-13b\.temperature must be a number from 0 on, as in 0\.7$/,
    ],
    [
      lines({ ...OLD_PROFILE, template: "no place" }),
      /^f:12: Vicuna-13b\.template must be a text with \{input\} in it/,
    ],
    [lines({ ...OLD_PROFILE, template: "{{input}}" }), /template must be/],
    [
      lines(OLD_PROFILE, "other"),
      /^f:2: SelectedModel names "other", and no profile is called so; there are Vicuna-13b$/,
    ],
    [lines(OLD_PROFILE, 7), /^f:2: SelectedModel must be the name of a profile$/],
    ['{"a": 1}', /^f:1: a must be an object/],
    [JSON.stringify({ SelectedModel: "a" }), /; there is none$/],
    [JSON.stringify({ " a": {} }), /must be called by 1 to 200 characters/],
    [" ".repeat(4_000_001), /longer than/],
  ] as const)
    t.throws(() => readOldFile(text, "f"), { message }, String(message))
})

test("a changed file counts a moment later; one that is broken leaves the old one in place and is told in one line", async (t) => {
  const file = join(t.testdir(), "config.json")
  const write = (profile: object | string) =>
    writeFile(
      file,
      typeof profile === "string" ? profile : JSON.stringify({ SelectedModel: VICUNA, [VICUNA]: profile }),
    )
  await write(OLD_PROFILE)
  const addon = await startProfiles(t, { file })
  const temperature = async () => {
    await addon.request(chat())
    return lastBody(addon).temperature
  }
  t.equal(await temperature(), 0.7, "SelectedModel is the default of all")
  await write({ ...OLD_PROFILE, temperature: 0.25 })
  addon.clock.advance(LOOK_MS)
  await addon.log.line("was read again")
  t.equal(await temperature(), 0.25)
  await write('{"SelectedModel": ')
  addon.clock.advance(LOOK_MS)
  t.match(await addon.log.line("the profiles that were read before go on"), /config\.json:1: it is no JSON/)
  t.equal(await temperature(), 0.25)
  await t.rejects(addon.set({ file: `${file}.gone` }), { message: /profiles\.file: .*ENOENT/ })
  t.equal(await temperature(), 0.25)
})

test("a start with a file or options that are wrong fails with one line", async (t) => {
  const file = join(t.testdir({ "config.json": "{" }), "config.json")
  await t.rejects(startProfiles(t, { file }), {
    name: "UsageError",
    message: /^.*profiles\.file: .*config\.json:1: it is no JSON/,
  })
  const faults: [JsonObject, RegExp][] = [
    [{ list: { a: { template: "x" } } }, /profiles\.list\.a\.template must be a text with \{input\} in it/],
    [{ list: { a: { temprature: 1 } } }, /profiles\.list\.a has no field "temprature"; there are model, system/],
    [{ list: { a: { raw: 1, system: 2 } } }, /profiles\.list\.a\.system must be a text/],
    [{ list: { a: { raw: 1 } } }, /a\.raw must be true or false/],
    [{ list: { a: { n_ctx: 0 } } }, /a\.n_ctx must be a number of tokens/],
    [{ list: { a: { model: "" } } }, /a\.model must be a model's name/],
    [{ list: { a: { stop: [1] } } }, /a\.stop must be a text or a list of texts/],
    [{ list: { a: { defaults: 1 } } }, /a\.defaults must be fields of requests/],
    [{ list: { a: { overrides: { messages: [] } } } }, /a\.overrides\.messages is no parameter of a request/],
    [{ list: { a: { overrides: { top_p: 2 } } } }, /a\.overrides\.top_p must be a number from 0 to 1/],
    [{ list: { a: {} }, default: "b" }, /profiles\.default names "b", and no profile is called so; there is a\b/],
    [{ default: "b" }, /there is none\b/],
  ]
  for (const [options, message] of faults)
    await t.rejects(startProfiles(t, options), { name: "UsageError", message }, String(message))
})

test("a profile that asks for more than its model takes is warned of with both numbers", async (t) => {
  const list = { v: { ...OLD_PROFILE, n_ctx: 16000 }, w: { max_tokens: 5000, n_ctx: 4096 } }
  const addon = await startProfiles(t, { list })
  t.match(
    await addon.log.line("n_ctx is 16000"),
    /profile v: n_ctx is 16000, and vicuna-13b\S+ takes 4096 tokens; the smaller one counts/,
  )
  t.match(
    await addon.log.line("max_tokens is 16000"),
    /profile v: max_tokens is 16000, and vicuna-13b\S+ takes 4096 tokens; it is left out/,
  )
  t.match(await addon.log.line("profile w"), /profile w: max_tokens is 5000, and n_ctx is 4096; it is left out/)
  await addon.request(chat({}, { "x-llmproxy-profile": "v" }))
  t.notOk("max_tokens" in lastBody(addon))
  t.equal(
    addon.flows.find(({ parent, dialect }) => parent === undefined && dialect !== undefined)?.metadata[
      "models.context"
    ],
    4096,
  )
  const other = await startProfiles(t, { list: { l: { model: "llama", max_tokens: 900, template: "{input}" } } })
  t.teardown(
    await offerModels(other.events, {
      name: "local-model",
      url: "http://127.0.0.1:9/v1",
      models: ["llama"],
      context: 512,
    }),
  )
  t.match(await other.log.line("profile l"), /max_tokens is 900, and llama takes 512 tokens/)
  await other.request(chat({}, { "x-llmproxy-profile": "l" }))
  t.match(other.asked.at(-1)?.url, /127\.0\.0\.1:9\/v1\/completions$/, "what llmproxy runs itself takes raw prompts")
})
