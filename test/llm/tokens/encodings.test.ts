import { test } from "tap"
import { bareModel, encodingFor, tableOf } from "../../../lib/llm/tokens/encodings.ts"

test("a model's name gives its encoding, the longer prefix before the shorter", (t) => {
  for (const [encoding, models] of [
    [
      "o200k_base",
      "gpt-4o gpt-4o-mini gpt-4o-2024-08-06 gpt-4.1 gpt-4.1-nano gpt-4.5-preview gpt-5 gpt-5.1 gpt-5-mini chatgpt-4o-latest o1 o1-mini o3 o4-mini",
    ],
    [
      "cl100k_base",
      "gpt-4 gpt-4-turbo gpt-4-0613 gpt-4-32k gpt-3.5-turbo gpt-35-turbo gpt-35-turbo-16k text-embedding-3-small davinci-002",
    ],
    ["o200k_harmony", "gpt-oss-20b gpt-oss:120b openai/gpt-oss-20b"],
  ] as const) {
    for (const model of models.split(" ")) t.same(encodingFor(model), { encoding, known: true }, model)
  }
  t.end()
})

test("fine-tuned and vendor-prefixed names are the model in them", (t) => {
  t.equal(encodingFor("ft:gpt-3.5-turbo-0125:acme::x").encoding, "cl100k_base")
  t.equal(encodingFor("ft:gpt-4o-mini-2024-07-18:acme::x").encoding, "o200k_base")
  t.equal(encodingFor("openai/gpt-4-turbo").encoding, "cl100k_base")
  t.equal(bareModel("openai/GPT-4o"), "gpt-4o")
  t.end()
})

test("a name that is none of OpenAI's is unknown and gets o200k_base", (t) => {
  for (const model of ["", "deepseek-coder-6.7b-instruct", "llama-3", "o1x", "gpt-40", "gpt-6", "orca"]) {
    t.same(encodingFor(model), { encoding: "o200k_base", known: false }, model)
  }
  t.end()
})

test("three encodings share two tables", (t) => {
  t.equal(tableOf("o200k_harmony"), "o200k_base")
  t.equal(tableOf("o200k_base"), "o200k_base")
  t.equal(tableOf("cl100k_base"), "cl100k_base")
  t.end()
})
