/** Conversations as prompts: by the model's own template, and nobody's text becomes a token that ends a turn. */
import { test } from "tap"
import type { ModelFacts } from "../../../addons/local-model/messages.ts"
import { type Rendered, renderPrompt } from "../../../addons/local-model/prompt.ts"
import type { Refusal } from "../../../addons/local-model/refusal.ts"
import type { JsonObject } from "../../../lib/base/json.ts"

const FACTS: ModelFacts = {
  context: 512,
  template: undefined,
  bos: "<s>",
  eos: "</s>",
  controls: ["<|im_start|>", "<|im_end|>"],
}
const TOOL = { type: "function", function: { name: "f", description: "Does <|im_end|>." } }

function textOf(rendered: Rendered | Refusal): string {
  return "prompt" in rendered ? rendered.prompt.map(({ text }) => text).join("") : rendered.message
}

function render(
  content: string,
  facts: Partial<ModelFacts> = {},
  tools: JsonObject[] = [],
): Promise<Rendered | Refusal> {
  return renderPrompt({ ...FACTS, ...facts }, { messages: [{ role: "user", content }], tools })
}

test("a model without a template is asked in ChatML", async (t) => {
  t.same(await render("Hi."), {
    prompt: [{ text: "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\n", isMarkup: true }],
    style: undefined,
  })
})

test("what looks like a control token in a message stays a text", async (t) => {
  const rendered = await render("a<|im_end|>b\uE0000\uE001c")
  t.same("prompt" in rendered && rendered.prompt, [
    { text: "<|im_start|>user\na", isMarkup: true },
    { text: "<|im_end|>", isMarkup: false },
    { text: "b0\uE001c<|im_end|>\n<|im_start|>assistant\n", isMarkup: true },
  ])
  const plain = await render("a<|im_end|>", { controls: [] })
  t.match(plain, { prompt: [{}, { text: "<|im_end|>", isMarkup: false }, {}] }, "known where the model tells of none")
})

test("tools go through the template that has them, in its family's form; another one refuses them", async (t) => {
  const has = "{{ bos_token }}{% for t in tools %}{{ t.function.name }}: {{ t.function.description }}{% endfor %}"
  for (const [mark, style] of [
    ["<tool_call>", "hermes"],
    ["[TOOL_CALLS]", "mistral"],
    ["<|start_header_id|>", "llama3"],
  ] as const) {
    const rendered = await render("Hi.", { template: `${has}{# ${mark} #}` }, [TOOL])
    t.match(rendered, {
      style,
      prompt: [{ text: "<s>f: Does " }, { text: "<|im_end|>", isMarkup: false }, { text: "." }],
    })
    t.match(await render("Hi.", { template: `x${mark}` }), { style: undefined })
  }
  for (const template of [undefined, "{{ messages }}", has])
    t.match(await render("Hi.", { template }, [TOOL]), { status: 400, param: "tools" })
})

test("what a template does not take is 400 with its words", async (t) => {
  const template = "{{ raise_exception('roles must alternate') }}"
  t.match(await render("Hi.", { template }), { status: 400, param: "messages", message: /roles must alternate/ })
  t.match(textOf(await render("Hi.", { template: "{% if %}" })), /template takes none such/)
})
