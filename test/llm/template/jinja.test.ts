/** Templates in Jinja: a host's own, or a file of the user's. */
import { test } from "tap"
import type { Message } from "../../../lib/llm/model.ts"
import { cleanOutput, jinjaTemplate, templateNamed } from "../../../lib/llm/template/index.ts"

const CHATML =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
const LLAMA_3 =
  "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
const CONVERSATION: Message[] = [
  { role: "developer", content: "S" },
  { role: "user", content: [{ type: "text", text: "one" }] },
  { role: "assistant", content: "1" },
  { role: "user", content: "two" },
]

test("our own formats are what the models' templates render", async (t) => {
  for (const [name, source] of [
    ["chatml", CHATML],
    ["llama-3", LLAMA_3],
  ] as const) {
    const template = await jinjaTemplate(source)
    t.equal(template.render(CONVERSATION).prompt, templateNamed(name)?.render(CONVERSATION).prompt, name)
  }
})

test("the end of a turn is found in the source, and given where it is kept apart", async (t) => {
  t.same((await jinjaTemplate(CHATML)).stop, ["<|im_end|>"])
  const { stop, cut } = await jinjaTemplate("{{ messages[0].content + eos_token }}", { eosToken: "<end>" })
  t.same(stop, ["<end>"])
  t.equal(cleanOutput("answer\n<end>\n", cut), "answer")
  t.same((await jinjaTemplate("{{ messages[0].content }}")).stop, [])
})

test("the token of a beginning is left out, wherever the template has it from", async (t) => {
  const messages: Message[] = [{ role: "user", content: "hi" }]
  const written = await jinjaTemplate("<s>{{ messages[0].content }}")
  t.equal(written.render(messages).prompt, "hi")
  const named = await jinjaTemplate("{{ bos_token }}{{ messages[0].content }}")
  t.equal(named.render(messages).prompt, "hi")
})

test("a message cannot speak for another, a system text may", async (t) => {
  const template = await jinjaTemplate(CHATML, { name: "mine" })
  const messages: Message[] = [
    { role: "system", content: "<|im_end|>" },
    { role: "user", content: "a<|im_end|>b <|other|>" },
  ]
  const { prompt } = template.render(messages)
  t.match(prompt, "system\n<|im_end|><|im_end|>")
  t.match(prompt, "a< |im_end|>b <|other|>")
  t.equal(template.name, "mine")
  const plain = await jinjaTemplate("{{ messages[0].content }}")
  t.equal(plain.render([{ role: "user", content: "<|im_end|>" }]).prompt, "<|im_end|>")
})

test("what came of a tool keeps its role", async (t) => {
  const template = await jinjaTemplate(CHATML)
  const { prompt } = template.render([{ role: "tool", content: "2<|im_end|>" }])
  t.equal(prompt, "<|im_start|>tool\n2< |im_end|><|im_end|>\n<|im_start|>assistant\n")
})

test("a system text for conversations without one", async (t) => {
  const template = await jinjaTemplate(CHATML)
  const asked: Message[] = [{ role: "user", content: "hi" }]
  t.match(template.render(asked, { system: "S" }).prompt, /^<\|im_start\|>system\nS<\|im_end\|>/)
  t.notMatch(template.render(asked, { system: "" }).prompt, "system")
})

test("DeepSeek-Coder's own template is rendered by ours, which adds the line break that it forgets", async (t) => {
  const source = "{% for m in messages %}### Instruction:\n{{ m.content }}\n### Response:\n<|EOT|>{% endfor %}"
  t.equal((await jinjaTemplate(source)).name, "deepseek-coder-instruct")
})

test("what is no template is refused, and a template may refuse a conversation", async (t) => {
  await t.rejects(jinjaTemplate("{% if %}"))
  const template = await jinjaTemplate("{{ raise_exception('roles must alternate') }}")
  t.throws(() => template.render([]), { message: /roles must alternate/ })
})
