/** One model in its process: what is read, said and stopped. With a library that says what it is told to. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Test, test } from "tap"
import { Engine } from "../../../addons/local-model/engine.ts"
import type { LlamaLibrary } from "../../../addons/local-model/library.ts"
import { loadLibrary } from "../../../addons/local-model/library.ts"
import type { FromProcess, Generation } from "../../../addons/local-model/messages.ts"
import * as scripted from "../../helpers/hosts/scripted-llama.ts"

const PLAIN: Generation = {
  prompt: [{ text: "Hi", isMarkup: true }],
  sampling: {
    ...{ temperature: 0.5, topP: 0.9, topK: 20, minP: 0.1, seed: 3 },
    ...{ repeatPenalty: 1, frequencyPenalty: 0, presencePenalty: 0, bias: {} },
  },
  stop: [],
  maxTokens: undefined,
  showsControls: false,
  form: undefined,
}

async function load(t: Test, script: scripted.Script = {}, contextSize = 300): Promise<Engine> {
  const file = join(t.testdir({}), "model.gguf")
  writeFileSync(file, JSON.stringify(script))
  const library: LlamaLibrary = await loadLibrary(
    new URL("../../helpers/hosts/scripted-llama.ts", import.meta.url).href,
  )
  return Engine.load(library, { file, contextSize, threads: 1 }, () => {})
}

async function generate(engine: Engine, more: Partial<Generation> = {}): Promise<FromProcess[]> {
  const told: FromProcess[] = []
  await engine.generate(1, { ...PLAIN, ...more }, (message) => told.push(message))
  return told
}

function textOf(told: readonly FromProcess[]): string {
  return told.map((message) => (message.kind === "text" ? message.text : "")).join("")
}

test("it tells what it is: the context that was asked for, at most what the model was trained for", async (t) => {
  const template = "{{ messages }}"
  t.match((await load(t, { template })).facts, {
    ...{ context: 300, template, bos: "<s>", eos: "</s>" },
    controls: ["<s>", "</s>", "<|im_start|>", "<|im_end|>"],
  })
  t.equal((await load(t, { trained: 200 })).facts.context, 200)
  await t.rejects(loadLibrary("node:path"), { message: /no node-llama-cpp/ })
})

test("a character that is cut between two tokens is said once, whole", async (t) => {
  const engine = await load(t, { says: "é€😀!" })
  const told = await generate(engine)
  t.same(
    told.flatMap((message) => (message.kind === "text" ? [message.text] : [])),
    ["é", "€", "😀", "!"],
  )
  t.match(told.at(-1), { kind: "end", reason: "stop", promptTokens: 3, tokens: 10 })
  t.equal(textOf(await generate(engine, { maxTokens: 3 })), "é\uFFFD", "nothing of what was counted is lost")
})

test("a stop string ends it, and is not said; so does the number of tokens, and the context", async (t) => {
  const engine = await load(t, { says: "one two three ", endless: true })
  const stopped = await generate(engine, { stop: ["two", "xyz"] })
  t.equal(textOf(stopped), "one ")
  t.match(stopped.at(-1), { reason: "stop", tokens: 7 })
  t.match((await generate(engine, { maxTokens: 5 })).at(-1), { reason: "length", tokens: 5 })
  t.match((await generate(engine)).at(-1), { reason: "length", tokens: 297 })
  t.match((await generate(engine, { maxTokens: 0 })).at(-1), { reason: "length", tokens: 0 })
  const prompt = [{ text: "x".repeat(299), isMarkup: false }]
  t.same(await generate(engine, { prompt }), [{ kind: "too-long", id: 1, promptTokens: 300, context: 300 }])
})

test("one that is stopped says nothing more, and the next one begins", async (t) => {
  const engine = await load(t, { says: "abc", endless: true })
  const told: FromProcess[] = []
  const first = engine.generate(1, PLAIN, (message) => {
    told.push(message)
    if (told.length === 3) engine.stop(1)
  })
  const second = engine.generate(2, { ...PLAIN, maxTokens: 2 }, (message) => told.push(message))
  const third = engine.generate(3, PLAIN, (message) => told.push(message))
  engine.stop(3)
  engine.stop(99)
  await Promise.all([first, second, third])
  t.same(
    told.map((message) => (message.kind === "text" ? message.text : message.kind === "end" ? message.reason : "?")),
    ["a", "b", "c", "stopped", "a", "b", "length", "stopped"],
  )
})

test("what the sampler is told is what the request says", async (t) => {
  const engine = await load(t)
  const sampling = { ...PLAIN.sampling, repeatPenalty: 1.2, frequencyPenalty: 0.1, bias: { "1100": 5 } }
  await generate(engine, { sampling, form: { kind: "json" }, stop: [] })
  const { tokens, options } = scripted.evaluated.at(-1) ?? { tokens: [], options: {} }
  t.same(tokens, [1, 1_072, 1_105], "the token of the beginning comes first")
  t.match(options, {
    ...{ temperature: 0.5, topP: 0.9, topK: 20, minP: 0.1, seed: 3 },
    repeatPenalty: { penalty: 1.2, frequencyPenalty: 0.1, presencePenalty: 0 },
    tokenBias: { biases: [[1_100, { logit: 5 }]] },
    grammarEvaluationState: { grammar: { kind: "json" } },
  })
  const { repeatPenalty } = options
  const punished = typeof repeatPenalty === "object" && repeatPenalty !== null && "punishTokens" in repeatPenalty
  t.ok(punished)
  await generate(engine)
  t.notOk(scripted.evaluated.at(-1)?.options.repeatPenalty)
  t.same(await generate(engine, { form: { kind: "schema", schema: { bad: true } } }), [
    { kind: "refused", id: 1, message: "this schema has no grammar" },
  ])
})

test("texts of control tokens are tokens in the template's own part alone", async (t) => {
  const engine = await load(t)
  const prompt = [
    { text: "<|im_start|>", isMarkup: true },
    { text: "</s>", isMarkup: false },
  ]
  await generate(engine, { prompt })
  t.same(scripted.evaluated.at(-1)?.tokens.slice(0, 4), [1, 3, 1_060, 1_047])
})
