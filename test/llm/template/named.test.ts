/** Which format a model's name stands for. */
import { test } from "tap"
import { templateForModel, templateNamed } from "../../../lib/llm/template/index.ts"

test("a model's name tells its format, however the host writes it", (t) => {
  const cases: Readonly<Record<string, string | undefined>> = {
    "deepseek-coder:6.7b": "deepseek-coder-instruct",
    "TheBloke/deepseek-coder-6.7B-instruct-GGUF": "deepseek-coder-instruct",
    "deepseek-coder-33b-base": undefined,
    "deepseek-coder-v2-lite-instruct": "deepseek-v2",
    "deepseek-ai/DeepSeek-V2.5": "deepseek-v2",
    "DeepSeek-V3-0324": "deepseek-v3",
    "deepseek-ai/DeepSeek-V3.1": "deepseek-v3.1",
    "deepseek-v3.2-exp": undefined,
    "DeepSeek-R1-0528": "deepseek-r1",
    "deepseek-r1-distill-qwen-14b": undefined,
    "qwen2.5-coder-7b-instruct": "chatml",
    "Meta-Llama-3.1-8B-Instruct": "llama-3",
    "llama3.2:latest": "llama-3",
    "codellama:13b-instruct": "llama-2",
    "Llama-2-7b-chat-hf": "llama-2",
    "mixtral-8x7b-instruct-v0.1": "mistral",
    "alpaca-native": "alpaca",
    mine: undefined,
  }
  for (const [model, name] of Object.entries(cases)) t.equal(templateForModel(model)?.name, name, model)
  t.equal(templateNamed("no such"), undefined)
  t.end()
})
