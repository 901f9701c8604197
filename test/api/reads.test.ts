/** What is read for an addon, and how tokens are told, through the running program. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { type Test, test } from "tap"
import { answer, chatJson, origin } from "../helpers/hosts/proxy-host.ts"
import { folderWith, started, startedWith } from "./started.ts"

const CHAT = { model: "m", messages: [{ role: "user", content: "hi" }] }
const SAID = JSON.stringify(chatJson("hello", { usage: { prompt_tokens: 2, completion_tokens: 1, total_tokens: 3 } }))
/** The program behind which a host answers everything so. */
async function startedBefore(t: Test, folder: string, script: string) {
  const host = await origin(t, (_, socket) => void socket.write(answer(SAID, "Content-Type: application/json\r\n")))
  return startedWith(t, folder, { flags: { connectTo: [`addon.test:80:127.0.0.1:${host.port}`] } }, script)
}

/** Looks at flows with hooks that say nothing of what they mean. */
function looking(property: string, log = "flow.llm?.request.model + ' ' + flow.llm?.completion?.text"): string {
  return `
import { defineAddon } from "llmproxy"
export default defineAddon({
  ${property}
  setup({ log }) {
    return {
      request(flow) { try { log.info("body " + flow.request.text) } catch (error) { log.info("no body") } },
      response(flow) { log.info(String(${log})) },
    }
  },
})`
}

test("`reads` says what is read for an addon, in place of hooks that do nothing", async (t) => {
  const bodies = (text: string) => `info looks: body ${text}`
  for (const [property, chat, other] of [
    ["", ["info looks: no body", "info looks: undefined undefined"], ["info looks: no body"]],
    ['reads: "llm",', [bodies(JSON.stringify(CHAT)), "info looks: m hello"], ["info looks: no body"]],
    ['reads: "bodies",', [bodies(JSON.stringify(CHAT)), "info looks: m hello"], [bodies('{"a":1}')]],
  ] as const) {
    const folder = await folderWith(t, { "looks.ts": looking(property) })
    const { app, get, lines } = await startedBefore(t, folder, "looks.ts")
    await get("/v1/chat/completions", CHAT)
    t.strictSame(lines.splice(0), chat, property)
    await get("/other", { a: 1 })
    t.strictSame(lines.splice(0), [...other, "info looks: undefined undefined"], property)
    await app.stop()
  }
})

test("with onError: block what is to be read is not passed unread", async (t) => {
  for (const [reads, status] of [
    ["", "passes"],
    ['reads: "llm",', "is stopped"],
  ] as const) {
    const guard = looking(`onError: "block", ${reads}`)
    const folder = await folderWith(t, { "looks.ts": guard })
    const { app, get } = await startedBefore(t, folder, "looks.ts")
    const said = JSON.stringify(await get("/v1/chat/completions", { messages: "none" }))
    t.match(said, status === "passes" ? "hello" : "an addon has to read it")
    await app.stop()
  }
})

test("what `reads` cannot be, and what it was called, stops the start with what to write", async (t) => {
  for (const [property, message] of [
    ['reads: "all"', /looks\.ts:4: addon "looks": reads must be "llm" or "bodies"$/],
    ["collect: true", /looks\.ts:4: addon "looks": no property named "collect"; write reads: "bodies"$/],
  ] as const) {
    const folder = await folderWith(t, { "looks.ts": looking(`${property},`) })
    await t.rejects(started(t, folder, "looks.ts"), { name: "UsageError", message })
  }
  const folder = await folderWith(t, {})
  await writeFile(join(folder, "loose.ts"), "export const collect = true\nexport function request() {}")
  await t.rejects(started(t, folder, "loose.ts"), { message: /loose\.ts:1: no property named "collect"; write reads/ })
})

test("addUsage counts whenever it is called: before the answer, while it is told, after that", async (t) => {
  const spends = `
import { defineAddon } from "llmproxy"
const cost = { inputTokens: 10, outputTokens: 1, totalTokens: 11, cachedTokens: undefined, reasoningTokens: undefined, source: "provider" }
export default defineAddon({
  setup({ log }) {
    return {
      llmRequest: (flow) => flow.addUsage(cost),
      llmResponse(flow, { usage }) {
        log.info("told " + usage.totalTokens)
        flow.addUsage(cost)
        log.info("then " + flow.llm.completion.usage.totalTokens)
        try { Object.assign(flow.llm.completion.usage, { totalTokens: 0 }) } catch { log.info("it is not to be set") }
      },
      response(flow) {
        flow.addUsage(cost)
        log.info("at last " + flow.snapshot().llm.completion.usage.totalTokens)
      },
    }
  },
})`
  const folder = await folderWith(t, { "spends.ts": spends })
  const { get, lines } = await startedBefore(t, folder, "spends.ts")
  t.match(await get("/v1/chat/completions", CHAT), { usage: { total_tokens: 3 } }, "the client's bytes stay")
  t.strictSame(
    lines,
    ["told 14", "then 25", "it is not to be set", "at last 36"].map((line) => `info spends: ${line}`),
  )
})
