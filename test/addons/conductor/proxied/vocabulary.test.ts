/** A local model's own vocabulary: prompts are counted with it where the host does not count them. */
import { join } from "node:path"
import { type Test, test } from "tap"
import { UsageError } from "../../../../lib/base/errors.ts"
import { ManualClock } from "../../../../lib/testing/manual-clock.ts"
import { bundled } from "../../../helpers/bundled.ts"
import { type Rig, type RigOptions, sentTo, startRig, tokensWith } from "../../../helpers/conductor-rig.ts"
import { hostNamed, scripted } from "../../../helpers/hosts/local-hosts.ts"
import { ggufFile } from "../../../helpers/llm/gguf-file.ts"
import { byteLetters, joiningVocabulary } from "../../../helpers/llm/vocabularies.ts"

const RESERVE = 100

/** Its clock stands still: however slow the machine is, the file is waited for. */
async function start(t: Test, options: RigOptions): Promise<Rig> {
  return startRig(t, {
    ...options,
    clock: new ManualClock(),
    tokens: tokensWith(await bundled(t, "lib/services/vocabulary.ts")),
  })
}

/** A folder with a vocabulary in which every byte is a token. */
function letters(t: Test): string {
  const vocab = Object.fromEntries(byteLetters().map((letter, id) => [letter, id]))
  const json = {
    model: { type: "BPE", vocab, merges: [] },
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false },
  }
  return t.testdir({ "letters.json": JSON.stringify(json), "new.gguf": ggufFile(joiningVocabulary("new-model")) })
}

const SET = { answerReserve: RESERVE, maxTokenCount: 2_000 }

test("a raw prompt is counted with the model's own vocabulary, exactly", async (t) => {
  const host = hostNamed("LM Studio")
  const tokenizer = `deepseek*=${join(letters(t), "letters.json")}`
  const rig = await start(t, { local: scripted(host), set: { ...SET, tokenizer } })
  const { headers } = await rig.chat()
  const needed = Buffer.byteLength(String(sentTo(rig.local, host.rawPath)?.prompt)) + RESERVE
  t.equal(headers.get("x-llmproxy-reason"), `needs ${needed} of 2000 tokens (counted with letters.json)`)
  const again = await rig.chat()
  t.equal(again.headers.get("x-llmproxy-reason"), headers.get("x-llmproxy-reason"))
  // By the ratio it would have fitted: 600 words are 600 of OpenAI's tokens, and 3,000 letters.
  const long = await rig.chat({ messages: [{ role: "user", content: "word ".repeat(600) }] })
  t.equal(long.status, 400)
  t.equal(JSON.parse(long.text).error.code, "context_length_exceeded")
})

test("messages are estimated with it, and a model without one by the ratio", async (t) => {
  const host = hostNamed("LM Studio")
  const tokenizer = `deepseek*=${join(letters(t), "letters.json")}`
  const set = { ...SET, tokenizer, localApi: "messages", modelMap: '{"other":"glm-4"}' }
  const rig = await start(t, { local: scripted(host), set })
  // 3 a message, 3 for the reply, "user" and "Say hello." letter by letter
  const needed = 6 + 4 + 10 + RESERVE
  const { headers } = await rig.chat({ messages: [{ role: "user", content: "Say hello." }] })
  t.equal(headers.get("x-llmproxy-reason"), `needs ${needed} of 2000 tokens (estimated with letters.json)`)
  const other = await rig.chat({ model: "other" })
  t.match(other.headers.get("x-llmproxy-reason"), /^needs \d+ of 2000 tokens$/)
})

test("a host's own count comes first", async (t) => {
  const tokenizer = join(letters(t), "letters.json")
  const rig = await start(t, {
    local: scripted(hostNamed("llama.cpp"), { tokens: 321 }),
    set: { ...SET, tokenizer },
  })
  t.equal(
    (await rig.chat()).headers.get("x-llmproxy-reason"),
    `needs ${321 + RESERVE} of 2000 tokens (counted by llama.cpp)`,
  )
})

test("a vocabulary that cannot be counted with exactly is warned of, and the ratio stands in for it", async (t) => {
  const tokenizer = join(letters(t), "new.gguf")
  const rig = await start(t, { local: scripted(hostNamed("LM Studio")), set: { ...SET, tokenizer } })
  t.match((await rig.chat()).headers.get("x-llmproxy-reason"), /^needs \d+ of 2000 tokens$/)
  const warned = rig.lines.filter((line) => line.includes("conductor.tokenizer"))
  t.match(warned, [/new\.gguf: its pre-tokenizer "new-model" is none .* the learnt ratio is used instead/])
  t.equal(warned.length, 1)
})

test("a file that is no vocabulary stops the start", async (t) => {
  const file = join(letters(t), "absent.json")
  const local = scripted(hostNamed("LM Studio"))
  const started = start(t, { local, set: { ...SET, tokenizer: file } })
  const error: unknown = await started.catch((thrown: unknown) => thrown)
  t.ok(error instanceof UsageError)
  t.match(error, {
    message: new RegExp(`conductor\\.tokenizer ${file}: no such file; name a tokenizer\\.json or a \\.gguf file`),
  })
})
