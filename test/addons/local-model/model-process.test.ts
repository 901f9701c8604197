/** A model's process as the proxy sees it: scripts that say what they are told to stand for the real one. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { type Test, test } from "tap"
import { fromProcess, isToProcess, messageIn } from "../../../addons/local-model/messages.ts"
import { ModelProcess } from "../../../addons/local-model/model-process.ts"

const GENERATION = {
  prompt: [],
  sampling: {
    ...{ temperature: 0, topP: 1, topK: 0, minP: 0, repeatPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 },
    ...{ seed: undefined, bias: {} },
  },
  ...{ stop: [], maxTokens: 1, showsControls: false, form: undefined },
}

function start(t: Test, script: string, progress?: (part: number) => void): ModelProcess {
  const file = join(t.testdir({}), "model.mjs")
  writeFileSync(
    file,
    `const tell = (message) => process.send(message)\nprocess.on("disconnect", () => process.exit(0))\n${script}`,
  )
  const model = new ModelProcess(
    { script: pathToFileURL(file), file: "m.gguf", contextSize: 9, threads: 1, library: "none" },
    progress,
  )
  t.teardown(() => model.end())
  return model
}

/** What a request came to. */
function outcome(model: ModelProcess): Promise<unknown[]> {
  const told: unknown[] = []
  return new Promise((resolve) => {
    model.generate(GENERATION, {
      text: (text) => told.push(text),
      end: (end) => resolve([...told, end]),
      fail: (error) => resolve([...told, error]),
    })
  })
}

test("it is told what to load, and tells what it has; none of the proxy's variables but a few", async (t) => {
  process.env.LLMPROXY_TEST_SECRET = "sk-0"
  t.teardown(() => {
    delete process.env.LLMPROXY_TEST_SECRET
  })
  const parts: number[] = []
  const model = start(
    t,
    `process.on("message", (load) => {
      tell({ kind: "progress", part: 0.5 })
      tell({ kind: "nonsense" })
      tell({ kind: "loaded", model: { context: load.contextSize, eos: JSON.stringify([load, process.env.LLMPROXY_TEST_SECRET ?? null]), controls: ["<s>", 1, ""] } })
    })`,
    (part) => parts.push(part),
  )
  const facts = await model.loaded
  t.match(facts, { context: 9, template: undefined, bos: "", controls: ["<s>"] })
  t.same(JSON.parse(facts.eos), [{ kind: "load", file: "m.gguf", contextSize: 9, threads: 1, library: "none" }, null])
  t.same(parts, [0.5])
})

test("requests get what is theirs", async (t) => {
  const model = start(
    t,
    `process.on("message", ({ kind, id }) => {
      if (kind !== "generate") return
      tell({ kind: "text", id: 99, text: "nobody's" })
      tell({ kind: "text", id, text: "t" })
      if (id === 1) tell({ kind: "end", id, reason: "stop", promptTokens: 2, tokens: 1 })
      if (id === 2) tell({ kind: "too-long", id, promptTokens: 12, context: 9 })
      if (id === 3) tell({ kind: "refused", id, message: "no" })
      tell({ kind: "end", id, reason: "stop", promptTokens: 0, tokens: 0 })
    })`,
  )
  t.match(await outcome(model), ["t", { reason: "stop", promptTokens: 2, tokens: 1 }])
  t.match(await outcome(model), ["t", { kind: "too-long", promptTokens: 12, context: 9 }])
  t.match(await outcome(model), ["t", { kind: "refused", message: "no" }])
})

test("its death fails what was asked, with what it has said last; and what is asked afterwards", async (t) => {
  const model = start(
    t,
    `process.on("message", ({ kind, id }) => {
      if (kind !== "generate") return
      tell({ kind: "text", id, text: "t" })
      process.stderr.write("GGML_ASSERT failed\\n", () => process.exit(6))
    })`,
  )
  t.match(await outcome(model), ["t", { kind: "died", message: /ended with status 6$/, detail: "GGML_ASSERT failed" }])
  await model.ended
  t.ok(model.isDead)
  t.match(await outcome(model), [{ kind: "died" }])
  await t.rejects(model.loaded, /ended with status 6/)
})

test("what cannot be loaded says why; what is ended is gone", async (t) => {
  const failing = start(t, 'tell({ kind: "failed", why: "library", message: "not there" })')
  t.match(await failing.loaded.catch((error: unknown) => error), { kind: "library", message: "not there" })
  await failing.end()
  const ended = start(t, "setInterval(() => {}, 1_000)")
  await ended.end()
  await t.rejects(ended.loaded, /SIGKILL/)
})

test("messages that are none are nobody's", async (t) => {
  for (const value of [
    null,
    "text",
    { kind: "progress" },
    { kind: "loaded", model: {} },
    { kind: "loaded" },
    { kind: "failed" },
    { kind: "text", id: 1 },
    { kind: "end", id: 1, reason: "odd", promptTokens: 1, tokens: 1 },
    { kind: "too-long", id: 1 },
    { kind: "refused", id: "1", message: "x" },
  ])
    t.equal(fromProcess(value), undefined, JSON.stringify(value))
  t.match(fromProcess({ kind: "failed", why: "?", message: "x" }), { why: "model" })
  t.notOk(isToProcess({ kind: "odd" }))
  t.ok(isToProcess({ kind: "stop", id: 1 }))
  t.equal(messageIn("x".repeat(3_000)).length, 2_000)
})
