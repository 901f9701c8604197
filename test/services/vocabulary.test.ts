import { join } from "node:path"
import { test } from "tap"
import { openVocabulary, readVocabulary } from "../../lib/services/vocabulary.ts"
import { bundled } from "../helpers/bundled.ts"
import { ggufFile } from "../helpers/llm/gguf-file.ts"
import { requestOf } from "../helpers/llm/llm-request.ts"
import { joiningVocabulary, LETTERS, scoredVocabulary } from "../helpers/llm/vocabularies.ts"

test("both kinds of files count in a thread of their own", async (t) => {
  const folder = t.testdir({
    "tokenizer.json": LETTERS,
    "bytes.gguf": ggufFile(joiningVocabulary("qwen2")),
    "scored.gguf": ggufFile(scoredVocabulary()),
  })
  const script = await bundled(t, "lib/services/vocabulary.ts")
  for (const [file, tokens] of [
    ["tokenizer.json", 11],
    ["bytes.gguf", 10],
    ["scored.gguf", 10],
  ] as const) {
    const vocabulary = await openVocabulary(join(folder, file), { script })
    t.teardown(() => vocabulary.close())
    t.same(await vocabulary.countPrompt("hello world"), { tokens, method: `tokenizer ${file}`, confidence: "exact" })
    t.equal(vocabulary.name, file)
  }
})

test("a conversation is its texts by the vocabulary and its form by rule, which is an estimate", async (t) => {
  const folder = t.testdir({ "tokenizer.json": LETTERS })
  const vocabulary = await openVocabulary(join(folder, "tokenizer.json"))
  t.teardown(() => vocabulary.close())
  const request = requestOf({ model: "local", messages: [{ role: "user", content: "hello" }] })
  // 3 a message, 3 for the reply, 4 and 5 letters
  t.same(await vocabulary.countRequest(request), {
    tokens: 15,
    method: "tokenizer tokenizer.json",
    confidence: "estimated",
  })
})

test("once it is closed, what is not remembered is estimated, and said to be", async (t) => {
  const folder = t.testdir({ "tokenizer.json": LETTERS })
  const failures: unknown[] = []
  const vocabulary = await openVocabulary(join(folder, "tokenizer.json"), {
    script: await bundled(t, "lib/services/vocabulary.ts"),
    onFailure: (error) => failures.push(error),
  })
  t.equal((await vocabulary.countPrompt("hello")).tokens, 5)
  await vocabulary.close()
  t.match(await vocabulary.countPrompt("hello"), { tokens: 5, confidence: "exact" })
  t.match(await vocabulary.countPrompt("twelve bytes"), { tokens: 4, method: "utf-8 bytes / 3" })
  t.same(failures, [])
})

test("a bad file is named, with what is wrong", async (t) => {
  const whole = ggufFile(joiningVocabulary("qwen2"))
  const folder = t.testdir({
    "text.json": "no JSON",
    "other.json": '{"version": 1}',
    "cut.gguf": whole.subarray(0, whole.length - 40),
    "early.gguf": whole.subarray(0, 6),
    "later.gguf": Buffer.concat([whole.subarray(0, 4), Buffer.from([99, 0, 0, 0]), whole.subarray(8)]),
    "none.gguf": ggufFile({ "general.architecture": "llama" }),
    empty: "",
  })
  for (const [file, what] of [
    ["absent.json", /^no such file$/],
    [".", /^this is a folder$/],
    ["text.json", /^it is neither JSON nor a GGUF file$/],
    ["empty", /^it is neither JSON nor a GGUF file$/],
    ["other.json", /^it has no model: this is no tokenizer\.json$/],
    ["cut.gguf", /^its metadata is cut off: the file is not whole$/],
    ["early.gguf", /^its metadata is cut off: the file is not whole$/],
    ["later.gguf", /^its metadata cannot be read \(.*unsupported version "99"\)$/],
    ["none.gguf", /^it has no vocabulary \(no tokenizer\.ggml\.model\)$/],
  ] as const) {
    await t.rejects(readVocabulary(join(folder, file)), { name: "Error", message: what }, file)
  }
  const file = join(folder, "absent.json")
  const script = await bundled(t, "lib/services/vocabulary.ts")
  await t.rejects(openVocabulary(file, { script }), { name: "Error", message: `${file}: no such file` })
})

test("a file that is right but cannot be counted with exactly is told apart", async (t) => {
  const folder = t.testdir({ "new.gguf": ggufFile(joiningVocabulary("new-model")) })
  const expected = { name: "InexactVocabularyError", message: /new\.gguf: its pre-tokenizer "new-model" is none/ }
  const script = await bundled(t, "lib/services/vocabulary.ts")
  await t.rejects(openVocabulary(join(folder, "new.gguf"), { script }), expected)
})

test("files are read by what is in them, not by their names", async (t) => {
  const folder = t.testdir({ "model.bin": ggufFile(scoredVocabulary()), "vocabulary.gguf": LETTERS })
  t.equal((await readVocabulary(join(folder, "model.bin"))).count("ab").tokens, 2)
  t.equal((await readVocabulary(join(folder, "vocabulary.gguf"))).count("ab").tokens, 2)
})
