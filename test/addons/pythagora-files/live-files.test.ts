import { constants } from "node:fs"
import { lstat, open, readdir, readFile, symlink } from "node:fs/promises"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { test } from "tap"
import { LiveFiles } from "../../../addons/pythagora-files/live-files.ts"
import type { FlowSnapshot } from "../../../lib/api/flow.ts"
import { Redactor } from "../../../lib/base/secrets/redactor.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { makeFifo, readFifo } from "../../helpers/fifo.ts"
import { chat, completion, START } from "../../helpers/flow-snapshots.ts"

function files(
  options: { json?: string; outputLog?: string; openaiOutputLog?: string },
  clock = new ManualClock(START),
) {
  const warnings: string[] = []
  const { json, outputLog, openaiOutputLog } = options
  const live = new LiveFiles({
    options: { json, outputLog, openaiOutputLog },
    log: { warn: (message) => warnings.push(message) },
    redactor: new Redactor(),
    clock,
  })
  return { live, warnings }
}

async function records(path: string): Promise<unknown> {
  return JSON.parse(await readFile(path, "utf8"))
}

test("only whole answers to clients are written: no attempts, no errors, nothing that broke off", async (t) => {
  const json = join(t.testdir({}), "h.json")
  const { live, warnings } = files({ json })
  const cut = completion("half")
  const choice = cut.choices[0]
  if (choice !== undefined) choice.finishReason = { unified: "cut", raw: undefined }
  const with_ = (answer: typeof cut | undefined): FlowSnapshot => ({
    ...chat(),
    llm: { dialect: "openai-chat", model: "m", completion: answer, error: undefined },
  })
  live.write(chat({}, { parentId: "x" }))
  live.write(with_(undefined))
  live.write(with_(cut))
  live.write(chat({ answer: "" }))
  live.write(chat({ answer: "whole" }))
  await live.finish()
  t.match(await records(json), [{ output: "whole" }])
  t.strictSame(warnings, [])
})

test("an answer that has not ended well is no record to learn from, and stands in the log", async (t) => {
  const folder = t.testdir({})
  const [json, openaiOutputLog] = [join(folder, "h.json"), join(folder, "cloud.log")]
  const { live } = files({ json, openaiOutputLog })
  for (const unified of ["length", "contentFilter", "error", "other", "stop", "toolCalls"] as const) {
    const answer = completion(`ends by ${unified}`)
    const choice = answer.choices[0]
    if (choice !== undefined) choice.finishReason = { unified, raw: undefined }
    live.write({ ...chat(), llm: { dialect: "openai-chat", model: "m", completion: answer, error: undefined } })
  }
  await live.finish()
  t.match(await records(json), [{ output: "ends by stop" }, { output: "ends by toolCalls" }])
  const log = await readFile(openaiOutputLog, "utf8")
  t.equal(log.split("ends by ").length - 1, 6)
})

test("an instruction is every text of the request, joined by one space", async (t) => {
  const json = join(t.testdir({}), "h.json")
  const { live } = files({ json })
  const parts = [
    { type: "text", text: "a" },
    { type: "image_url", image_url: { url: "x" } },
    { type: "text", text: "b" },
  ]
  const calls = { role: "assistant", content: null, tool_calls: [] }
  live.write(
    chat({
      messages: [
        { role: "system", content: "S" },
        { role: "user", content: "" },
        { role: "user", content: parts },
        calls,
        { role: "user", content: "c" },
      ],
    }),
  )
  const prompt = JSON.stringify({ model: "m", prompt: "P" })
  live.write(chat({}, { request: { ...chat().request, body: prompt } }))
  live.write(
    chat(
      {},
      {
        request: { ...chat().request, body: undefined },
        routed: { name: "local", reason: undefined, tokens: undefined, url: undefined },
      },
    ),
  )
  await live.finish()
  t.match(await records(json), [
    { instruction: "S a b c", tokens: 10, client: "OpenAI" },
    { instruction: "P" },
    { instruction: "", client: "Local LLM" },
  ])
})

test("a damaged file is set aside with a warning", async (t) => {
  const folder = t.testdir({ "h.json": '[{"a"' })
  const json = join(folder, "h.json")
  const { live, warnings } = files({ json })
  live.write(chat({ answer: "new" }))
  await live.finish()
  t.match(await records(json), [{ output: "new" }])
  t.match(warnings, [
    /h\.json: is no JSON array that can be added to; it is kept as .*h\.json\.damaged-20260101T000000000Z/,
  ])
})

test("a file that cannot be written is told of once, until it can be again", async (t) => {
  const folder = t.testdir({ "o.log": {} })
  const { live, warnings } = files({ openaiOutputLog: join(folder, "o.log") })
  live.write(chat())
  live.write(chat())
  await live.finish()
  t.match(warnings, [/o\.log: answers are not written: it is a folder/])
  t.equal(warnings.length, 1)
})

test("answers that wait to be written are bounded", async (t) => {
  const json = join(t.testdir({}), "h.json")
  const { live, warnings } = files({ json })
  for (let i = 0; i < 1_100; i++) live.write(chat())
  t.match(warnings, [/1024 answers are waiting to be written/])
  t.equal(warnings.length, 1)
  await live.finish()
  const all = await records(json)
  t.equal(Array.isArray(all) ? all.length : 0, 1_024)
})

const POSIX = process.platform === "win32" ? { skip: "Windows has no FIFO" } : {}

test(
  "a FIFO gets a record a line and stays one; without a reader the record is not written, and that is said",
  POSIX,
  async (t) => {
    const fifo = makeFifo(t.testdir({}))
    const { live, warnings } = files({ json: fifo })
    live.write(chat({ answer: "nobody reads" }))
    while (warnings.length === 0) await new Promise((resolve) => setImmediate(resolve))
    t.match(warnings, [/fifo: answers are not written: .*ENXIO/])
    const reading = text(readFifo(fifo))
    live.write(chat({ answer: "somebody reads" }))
    await live.finish()
    const [line = ""] = (await reading).split("\n")
    t.match(JSON.parse(line), { output: "somebody reads" })
    t.ok((await lstat(fifo)).isFIFO())
  },
)

test("a reader of a FIFO that stops reading does not keep the program from its end", POSIX, async (t) => {
  const fifo = makeFifo(t.testdir({}))
  const clock = new ManualClock(START)
  const { live } = files({ json: fifo }, clock)
  const reader = await open(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  t.teardown(() => reader.close())
  live.write(chat({ answer: "x".repeat(1_000_000) }))
  const finishing = live.finish()
  clock.advance(1_000)
  await finishing
  t.pass("it ends")
})

test("a link is followed, and a damaged file behind it is what gets another name", POSIX, async (t) => {
  const folder = t.testdir({ real: { "h.json": "no array" } })
  await symlink(join(folder, "real", "h.json"), join(folder, "link.json"))
  await symlink(join(folder, "nothing"), join(folder, "dangling.json"))
  const { live, warnings } = files({ json: join(folder, "link.json"), openaiOutputLog: join(folder, "dangling.json") })
  live.write(chat({ answer: "whole" }))
  await live.finish()
  t.ok((await lstat(join(folder, "link.json"))).isSymbolicLink())
  t.match(await records(join(folder, "real", "h.json")), [{ output: "whole" }])
  t.equal((await readdir(join(folder, "real"))).length, 2)
  t.match(warnings, [/it is kept as .*real\/h\.json\.damaged/, /dangling\.json: .*a link to a file that is not there/])
})
