/** `llmproxy models import`: LiteLLM's config.yaml as our upstreams and routes, and what has no place there. */
import { randomBytes } from "node:crypto"
import { readFileSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { parse } from "yaml"
import { checkRoutes, checkUpstreams } from "../../../../addons/models/check.ts"
import { fromLiteLlm } from "../../../../addons/models/import/litellm.ts"
import { readRoutes } from "../../../../addons/models/routes.ts"
import { readUpstreams } from "../../../../addons/models/upstreams.ts"
import { main } from "../../../../lib/cli/main.ts"
import { FakeWorld } from "../../../helpers/world.ts"

/** A key as people leave it in such files. */
const KEY = `sk-${randomBytes(24).toString("hex")}`
const CONFIG = `
model_list:
  - model_name: gpt-4o
    litellm_params: { model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, rpm: 6 }
  - model_name: gpt-4o
    litellm_params: { model: azure/my-gpt, api_base: "https://ours.openai.azure.com/", api_key: os.environ/AZURE_KEY, rpm: 3 }
  - model_name: claude
    litellm_params: { model: anthropic/claude-sonnet-4-5, api_key: ${KEY}, temperature: 0.2, max_tokens: 9 }
  - model_name: qwen
    litellm_params: { model: hosted_vllm/Qwen/Qwen3-4B, api_base: "http://gpu:8000/v1" }
  - model_name: local
    litellm_params: { model: ollama_chat/llama3.2 }
  - model_name: bare
    litellm_params: { model: gpt-4.1-mini }
  - model_name: "*"
    litellm_params: { model: "openai/*" }
  - model_name: "groq/*"
    litellm_params: { model: "groq/*" }
  - model_name: bed
    litellm_params: { model: bedrock/anthropic.claude-v2 }
  - model_name: far
    litellm_params: { model: openai/x, api_base: os.environ/FAR_URL }
  - model_name: vllm
    litellm_params: { model: hosted_vllm/x }
  - litellm_params: { model: x }
  - model_name: nameless
  - 7
router_settings:
  routing_strategy: least-busy
  num_retries: 2
  model_group_alias: { "gpt-4": gpt-4o, gone: nothing }
litellm_settings:
  fallbacks: [{ gpt-4o: [claude, missing] }, { qwen: [local] }]
  drop_params: true
general_settings: { master_key: ${KEY} }
odd_section: 1
`

test("models, keys, weights and fallbacks become upstreams and routes that models takes", (t) => {
  const { upstreams, routes } = fromLiteLlm(parse(CONFIG))
  t.same(upstreams, {
    openai: { url: "https://api.openai.com/v1", key: "env OPENAI_API_KEY" },
    azure: { url: "https://ours.openai.azure.com/openai/v1", key: "env AZURE_KEY" },
    anthropic: { url: "https://api.anthropic.com", key: "env ANTHROPIC_API_KEY", dialect: "anthropic-messages" },
    "hosted-vllm": { url: "http://gpu:8000/v1" },
    "ollama-chat": { url: "http://127.0.0.1:11434", dialect: "ollama" },
    groq: { url: "https://api.groq.com/openai/v1", key: "env GROQ_API_KEY" },
  })
  const gpt = [
    { upstream: "openai", model: "gpt-4o", weight: 6 },
    { upstream: "azure", model: "my-gpt", weight: 3 },
    { upstream: "anthropic", model: "claude-sonnet-4-5", weight: 0 },
  ]
  t.same(routes, [
    { model: "gpt-4o", to: gpt, by: "weight" },
    { model: "claude", to: [{ upstream: "anthropic", model: "claude-sonnet-4-5" }] },
    {
      model: "qwen",
      to: [
        { upstream: "hosted-vllm", model: "Qwen/Qwen3-4B" },
        { upstream: "ollama-chat", model: "llama3.2" },
      ],
    },
    { model: "local", to: [{ upstream: "ollama-chat", model: "llama3.2" }] },
    { model: "bare", to: [{ upstream: "openai", model: "gpt-4.1-mini" }] },
    { model: "gpt-4", to: gpt, by: "weight" },
    { model: "*", to: ["openai"] },
  ])
  t.same([...checkUpstreams(upstreams), ...checkRoutes(routes)], [])
  const read = readUpstreams(upstreams, () => "k")
  t.type(readRoutes(routes, read.upstreams), Array)
  t.end()
})

test("what was left out is told with the reason, and a key never", (t) => {
  const { notes } = fromLiteLlm(parse(CONFIG))
  const text = notes.join("\n")
  t.notMatch(text, KEY.slice(3))
  for (const words of [
    /model_list\[2\] \("claude"\): its key stands in the file in clear.*ANTHROPIC_API_KEY/,
    /"claude"\): left out of litellm_params: "temperature", "max_tokens"/,
    /"groq\/\*"\): needs no route; groq\/MODEL/,
    /"bed"\): left out; "bedrock" speaks an API that llmproxy does not/,
    /"far"\): left out; its api_base is in the variable FAR_URL/,
    /"vllm"\): left out; it has no api_base/,
    /model_list\[11\]: left out; it has no model_name/,
    /"nameless"\): left out; its litellm_params name no model/,
    /model_list\[13\]: left out/,
    /fallback of "gpt-4o": left out; there is no "missing"/,
    /model_group_alias "gone": left out; there is no "nothing"/,
    /router_settings."routing_strategy": left out; targets are tried in order/,
    /router_settings."num_retries": left out/,
    /litellm_settings."drop_params": left out; requests are sent/,
    /"general_settings": left out; keys are made by llmproxy keys/,
    /"odd_section": left out; nothing here is like it/,
  ])
    t.match(text, words)
  t.end()
})

test("order, default fallbacks and odd values", (t) => {
  const params = (model: string, more: object) => ({ litellm_params: { model, ...more }, model_name: "m" })
  const config = {
    model_list: [
      params("b", { order: 2, weight: 5 }),
      params("a", { order: 1 }),
      { model_name: "back", litellm_params: { model: "groq/*" } },
      { model_name: "last", litellm_params: { model: "xai/grok-4", api_base: "http://u:p@h/" } },
      { model_name: "odd", litellm_params: { model: "openai/x*", api_base: "http://h:1/v1/", api_key: "" } },
      { model_name: "spare", litellm_params: { model: "lm_studio/q", api_base: null, api_key: "lm" } },
    ],
    litellm_settings: { default_fallbacks: ["spare"], fallbacks: "none" },
  }
  const { routes, notes, upstreams } = fromLiteLlm(config)
  const spare = { upstream: "lm-studio", model: "q" }
  t.same(routes[0], { model: "m", to: [{ upstream: "openai", model: "a" }, { upstream: "openai", model: "b" }, spare] })
  t.same(routes[2], { model: "spare", to: [spare] })
  t.same(routes[1], { model: "back", to: ["groq", spare] })
  t.match(notes.join("\n"), /"last"\): left out; its api_base is no plain/)
  t.match(notes.join("\n"), /"odd"\): left out; a target's model cannot be a pattern/)
  t.same(upstreams["openai-2"], { url: "http://h:1/v1" })
  for (const value of [null, [], "x", {}]) t.same(fromLiteLlm(value).routes, [])
  t.end()
})

async function run(argv: string[], cwd: string) {
  const world = new FakeWorld({ cwd, home: cwd })
  const status = await main(argv, world)
  return { status, out: world.out.text, err: world.err.text }
}

test("llmproxy models import FILE prints it, and says what is wrong in one line", async (t) => {
  const cwd = t.testdir({ "config.yaml": CONFIG, "bad.yaml": `a: [${KEY}`, "none.yaml": "model_list: []" })
  const { status, out, err } = await run(["models", "import", join(cwd, "config.yaml")], cwd)
  t.equal(status, 0)
  t.match(parse(out), {
    models: { upstreams: { openai: { key: "env OPENAI_API_KEY" } }, routes: [{ model: "gpt-4o" }] },
  })
  t.match(err, /general_settings/)
  t.notMatch(out + err, KEY.slice(3))
  t.equal(readFileSync(join(cwd, "config.yaml"), "utf8"), CONFIG)
  writeFileSync(join(cwd, "long.yaml"), " ".repeat(4_194_305))
  for (const [argv, words, code] of [
    [["models"], /write llmproxy models import FILE/, 2],
    [["models", "import"], /write llmproxy models import FILE/, 2],
    [["models", "import", join(cwd, "missing.yaml")], /missing\.yaml: cannot be read \(ENOENT\)/, 2],
    [["models", "import", cwd], /cannot be read/, 2],
    [["models", "import", join(cwd, "bad.yaml")], /bad\.yaml: is no YAML/, 2],
    [["models", "import", join(cwd, "long.yaml")], /is longer than/, 2],
    [["models", "import", join(cwd, "none.yaml")], /nothing to route/, 1],
  ] as const) {
    const said = await run([...argv], cwd)
    t.equal(said.status, code, argv.join(" "))
    t.match(said.err, words)
    t.notMatch(said.err, KEY.slice(3))
    t.equal(said.out, "")
  }
})

test("a file that is none, or no YAML, and a line without one are told of", async (t) => {
  const folder = t.testdir({ "bad.yaml": "a: [", "empty.yaml": "" })
  const importing = async (...operands: string[]) => {
    const world = new FakeWorld({ home: folder, cwd: folder })
    return { status: await main(["models", ...operands], world), err: world.err.text }
  }
  t.match(await importing("import"), { status: 2 })
  t.match(await importing("export", "a"), { status: 2 })
  t.match(await importing("get"), { status: 2 })
  t.match(await importing("get", "https://127.0.0.1/a.gguf", "more"), { status: 2 })
  t.match(await importing("get", "no address"), { status: 2, err: /no address/ }, "it is the address that is wrong")
  t.match(await importing("import", join(folder, "bad.yaml"), "more"), { status: 2 })
  t.match(await importing("import", join(folder, "none.yaml")), {
    status: 2,
    err: /none\.yaml: cannot be read \(ENOENT\)/,
  })
  t.match(await importing("import", folder), { status: 2, err: /cannot be read \(.*EISDIR/ })
  t.match(await importing("import", join(folder, "bad.yaml")), { status: 2, err: /bad\.yaml: is no YAML: / })
  t.match(await importing("import", join(folder, "empty.yaml")), { status: 1 })
  truncateSync(join(folder, "empty.yaml"), 64 * 1024 * 1024)
  t.match(await importing("import", join(folder, "empty.yaml")), { status: 2, err: /is longer than \d+ bytes/ })
})
