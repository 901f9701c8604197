import { join } from "node:path"
import { test } from "tap"
import { isObject } from "../../lib/base/json.ts"
import { readConfigFile } from "../../lib/options/config-file.ts"
import { checkOptionSpecs, describeOptions, resolveOptions } from "../../lib/options/resolve.ts"
import { NO_SOURCES, type OptionSources } from "../../lib/options/sources.ts"
import type { OptionProblem, OptionSpec } from "../../lib/options/spec.ts"

const specs = {
  limit: { type: "integer", default: 0, min: 0, help: "Refuse after this many tokens." },
  ratio: { type: "number", help: "A ratio.", max: 1 },
  level: { type: "string", default: "low", choices: ["low", "high"], help: "How much." },
  note: { type: "string", help: "Free text." },
  dry: { type: "boolean", default: false, help: "Only say." },
  models: { type: "list", default: ["a"], help: "Which models." },
  params: { type: "json", default: { n: 1 }, help: "What to send." },
  cloudKey: { type: "string", secret: true, env: "OPENAI_API_KEY", help: "The key." },
} as const satisfies Record<string, OptionSpec>

const read = (sources: Partial<OptionSources>) => resolveOptions("budget", specs, { ...NO_SOURCES, ...sources })

test("an option that nobody set has its default, or undefined", (t) => {
  const values = read({})
  const limit: number = values.limit
  const ratio: number | undefined = values.ratio
  const level: "low" | "high" = values.level
  t.same([limit, ratio, level], [0, undefined, "low"])
  t.same(values.params, { n: 1 })
  t.end()
})

test("precedence is flag, environment, .env, config file, default", (t) => {
  const sources: OptionSources = {
    set: ["budget.limit=1", "other.limit=9"],
    flags: {},
    env: { LLMPROXY_BUDGET_LIMIT: "2" },
    envFile: { path: ".env", values: { LLMPROXY_BUDGET_LIMIT: "3" } },
    config: { path: "config.yaml", values: { budget: { limit: 4 } } },
  }
  t.equal(read(sources).limit, 1)
  t.equal(read({ ...sources, set: [] }).limit, 2)
  t.equal(read({ ...sources, set: [], env: {} }).limit, 3)
  t.equal(read({ ...sources, set: [], env: { LLMPROXY_BUDGET_LIMIT: "" } }).limit, 3, "an empty variable is not set")
  t.equal(read({ ...sources, set: [], env: {}, envFile: undefined }).limit, 4)
  t.equal(read({ config: { path: "", values: { budget: { limit: null } } } }).limit, 0, "null is not set")
  t.equal(read({ config: { path: "", values: {} } }).limit, 0)
  t.end()
})

test("the variable's name is the option's, in upper case, its words joined by underscores", (t) => {
  const names: [string | undefined, string, string][] = [
    ["budget", "limit", "LLMPROXY_BUDGET_LIMIT"],
    ["conductor", "maxTokenCount", "LLMPROXY_CONDUCTOR_MAX_TOKEN_COUNT"],
    ["two-words", "localURLPath", "LLMPROXY_TWO_WORDS_LOCAL_URL_PATH"],
    [undefined, "bodyLimit", "LLMPROXY_BODY_LIMIT"],
  ]
  for (const [prefix, name, variable] of names) {
    const [row] = describeOptions({ [name]: { type: "string", help: "" } }, prefix)
    t.same(row?.environment, [variable])
  }
  t.equal(read({ env: { OPENAI_API_KEY: "sk-1" } }).cloudKey, "sk-1", "further names come after its own")
  t.equal(read({ env: { OPENAI_API_KEY: "sk-1", LLMPROXY_BUDGET_CLOUD_KEY: "sk-2" } }).cloudKey, "sk-2")
  t.end()
})

test("each type reads what a person writes", (t) => {
  const cases: [string, unknown, keyof typeof specs][] = [
    ["limit= 42 ", 42, "limit"],
    ["limit=1e3", 1000, "limit"],
    ["ratio=.5", 0.5, "ratio"],
    ["ratio=-1.5e1", -15, "ratio"],
    ["level=high", "high", "level"],
    ["note=", "", "note"],
    ["note=a=b,c", "a=b,c", "note"],
    ["dry", true, "dry"],
    ["dry=No", false, "dry"],
    ["dry=on", true, "dry"],
    ["models=x, y,,z", ["x", "y", "z"], "models"],
    ["models=", [], "models"],
    ['params={"k":[1]}', { k: [1] }, "params"],
  ]
  for (const [text, value, name] of cases) t.same(read({ set: [`budget.${text}`] })[name], value, text)
  t.same(read({ set: ["budget.models=x,y", "budget.models=z"] }).models, ["x", "y", "z"], "a repeated list adds up")
  t.equal(read({ set: ["budget.limit=1", "budget.limit=2"] }).limit, 2, "else the last one counts")
  const config = (budget: Record<string, unknown>) => read({ config: { path: "c", values: { budget } } })
  t.same(config({ models: ["a,b", 7] }).models, ["a,b", "7"])
  t.same(config({ params: { deep: { x: 1 } } }).params, { deep: { x: 1 } })
  t.equal(config({ note: 7 }).note, "7", "YAML's number is the text that was meant")
  t.equal(config({ dry: true }).dry, true)
  t.equal(config({ limit: "12" }).limit, 12)
  t.end()
})

test("a bad value is an error that names its source, the value and what is allowed", (t) => {
  const cases: [Partial<OptionSources>, string][] = [
    [{ set: ["budget.limit=abc"] }, "--set budget.limit=abc: budget.limit must be an integer of at least 0"],
    [{ set: ["budget.limit=-1"] }, "--set budget.limit=-1: budget.limit must be an integer of at least 0"],
    [{ set: ["budget.limit=0x10"] }, "--set budget.limit=0x10: budget.limit must be an integer of at least 0"],
    [{ set: ["budget.limit=1.5"] }, "--set budget.limit=1.5: budget.limit must be an integer of at least 0"],
    [{ set: ["budget.limit"] }, "--set budget.limit: the value is missing, write --set budget.limit=VALUE"],
    [
      { set: ["budget.level=hihg"] },
      '--set budget.level=hihg: budget.level must be one of low, high; did you mean "high"?',
    ],
    [
      { env: { LLMPROXY_BUDGET_RATIO: "2" } },
      "LLMPROXY_BUDGET_RATIO=2 (environment): budget.ratio must be a number of at most 1",
    ],
    [
      { envFile: { path: "/x/.env", values: { LLMPROXY_BUDGET_DRY: "maybe" } } },
      "LLMPROXY_BUDGET_DRY=maybe (/x/.env): budget.dry must be true or false",
    ],
    [
      { config: { path: "/x/config.yaml", values: { budget: { models: { a: 1 } } } } },
      'budget.models: {"a":1} (/x/config.yaml): budget.models must be a list, with commas between or the flag repeated',
    ],
    [
      { config: { path: "/x/config.yaml", values: { budget: { models: [[]] } } } },
      "budget.models: [[]] (/x/config.yaml): budget.models must be a list, with commas between or the flag repeated",
    ],
    [
      { config: { path: "/x/config.yaml", values: { budget: { note: [{}] } } } },
      "budget.note: [{}] (/x/config.yaml): budget.note must be a text",
    ],
    [
      { config: { path: "/x/config.yaml", values: { budget: 5 } } },
      "/x/config.yaml: budget must hold the addon's options, as in budget: {limit: ...}",
    ],
    [{ set: ["budget.params={x"] }, '--set budget.params={x: budget.params must be a JSON object, as in {"key": 1}'],
    [{ set: ["budget.params=[1]"] }, '--set budget.params=[1]: budget.params must be a JSON object, as in {"key": 1}'],
    [
      { config: { path: "c", values: { budget: { cloudKey: ["sk-very-secret", {}] } } } },
      "budget.cloudKey: *** (c): budget.cloudKey must be a text",
    ],
  ]
  for (const [sources, message] of cases) t.throws(() => read(sources), { name: "UsageError", message }, message)
  const long = `${"x".repeat(200)}\u001b[31m`
  t.throws(() => read({ set: [`budget.limit=${long}`] }), { message: /^--set budget\.limit=x{80}\.\.\.: / })
  t.throws(() => read({ set: ["budget.limit=\u001b[31m"] }), { message: /=\\x1b\[31m: / })
  t.end()
})

test("the program's own options come from their own flags as well", (t) => {
  const core = {
    port: { type: "integer", default: 8080, min: 0, max: 65535, help: "The port." },
    ignoreHosts: { type: "list", help: "Hosts that are tunnelled." },
  } as const
  const own = (sources: Partial<OptionSources>) => resolveOptions(undefined, core, { ...NO_SOURCES, ...sources })
  t.same(own({ flags: { port: "99", ignoreHosts: ["a{1,2}", "b"] }, env: { LLMPROXY_PORT: "1" } }), {
    port: 99,
    ignoreHosts: ["a{1,2}", "b"], // a repeated flag's texts are taken as they are
  })
  t.equal(own({ set: ["port=7"] }).port, 7)
  t.equal(own({ config: { path: "c", values: { port: 5 } } }).port, 5)
  t.throws(() => own({ flags: { port: "99999" } }), {
    message: "--port 99999: port must be an integer from 0 to 65535",
  })
  t.throws(() => own({ flags: { ignoreHosts: 5 } }), { message: /^--ignore-hosts 5: / })
  t.end()
})

test("help comes from the same declaration and never shows a secret", (t) => {
  const rows = describeOptions({ ...specs, key: { type: "string", secret: true, default: "hush", help: "" } }, "budget")
  t.same(rows[0], {
    name: "budget.limit",
    help: "Refuse after this many tokens.",
    allowed: "an integer of at least 0",
    default: "0",
    environment: ["LLMPROXY_BUDGET_LIMIT"],
  })
  t.same(
    rows.map((row) => row.default),
    ["0", undefined, "low", undefined, "false", "a", '{"n":1}', undefined, undefined],
  )
  t.end()
})

test("a wrong declaration is refused with what is wrong", (t) => {
  const help = "x"
  const cases: [unknown, string | RegExp][] = [
    [[], "options must be an object of option declarations"],
    [{ "a-b": { type: "string", help } }, 'option "a-b": the name must be one camelCase word of letters and digits'],
    [{ a: 5 }, 'option "a": the declaration must be an object, as in { type: "integer", default: 0, help: "..." }'],
    [
      { a: { type: "int", help } },
      'option "a": type must be one of string, integer, number, boolean, list, json, items',
    ],
    [{ a: { type: "string" } }, 'option "a": help must be a sentence'],
    [{ a: { type: "string", help, defualt: "" } }, 'option "a": no field named "defualt"; did you mean "default"?'],
    [{ a: { type: "list", help, choices: ["x"] } }, 'option "a": choices must be texts, of a string'],
    [{ a: { type: "string", help, choices: [1] } }, 'option "a": choices must be texts, of a string'],
    [{ a: { type: "string", help, min: 1 } }, 'option "a": min and max are for integer and number'],
    [{ a: { type: "integer", help, min: "1" } }, 'option "a": min and max must be numbers'],
    [{ a: { type: "string", help, env: [1] } }, 'option "a": env must be a name or a list of names'],
    [{ a: { type: "integer", help, min: 5, default: 1 } }, 'option "a": the default must be an integer of at least 5'],
    [{ a: { type: "integer", help, default: "1" } }, 'option "a": the default must be an integer'],
    [{ a: { type: "list", help, check: () => [] } }, 'option "a": check must be a function, of json or items'],
    [{ a: { type: "items", help, check: "x" } }, 'option "a": check must be a function, of json or items'],
    [{ a: { type: "items", help, default: {} } }, /^option "a": the default must be a JSON list/],
    [{ a: { type: "json", help, default: [] } }, /^option "a": the default must be a JSON object/],
    [{ a: { type: "string", help, choices: ["x"], default: "y" } }, 'option "a": the default must be one of x'],
  ]
  for (const [spec, message] of cases)
    t.throws(() => checkOptionSpecs(spec), { name: "UsageError", message }, String(message))
  t.doesNotThrow(() => checkOptionSpecs(specs))
  t.end()
})

/** Each route has to name a model. */
const checkRoutes = (value: unknown): OptionProblem[] =>
  (Array.isArray(value) ? value : []).flatMap((route: unknown, index) =>
    isObject(route) && typeof route.model === "string" ? [] : [{ path: [index, "model"], message: "must be a text" }],
  )
const routes = { routes: { type: "items", help: "Which model goes where.", check: checkRoutes } } as const
const readRoutes = (sources: Partial<OptionSources>) => resolveOptions("models", routes, { ...NO_SOURCES, ...sources })

test("items are a JSON list, in a file the list itself and elsewhere its text", (t) => {
  const value = [{ model: "a" }, { model: "b" }]
  const text = JSON.stringify(value)
  t.same(readRoutes({ set: ["models.routes=[]", `models.routes=${text}`] }).routes, value, "the last one counts")
  t.same(readRoutes({ env: { LLMPROXY_MODELS_ROUTES: text } }).routes, value)
  t.same(readRoutes({ config: { path: "c", values: { models: { routes: value } } } }).routes, value)
  t.equal(readRoutes({}).routes, undefined)
  for (const wrong of ["{}", "[", "a"])
    t.throws(() => readRoutes({ set: [`models.routes=${wrong}`] }), {
      name: "UsageError",
      message: `--set models.routes=${wrong}: models.routes must be a JSON list, as in [{"key": 1}]`,
    })
  t.throws(() => readRoutes({ config: { path: "c", values: { models: { routes: { model: "a" } } } } }), /a JSON list/)
  const [row] = describeOptions({ a: { type: "items", default: [{ b: 1 }], help: "" } })
  t.equal(row?.default, '[{"b":1}]')
  t.end()
})

test("what is wrong within a value is told by its place there, in a file with its line", async (t) => {
  const path = join(
    t.testdir({ "c.yaml": "models:\n  routes:\n    - model: a\n    - to: b\n    - model: 5\n" }),
    "c.yaml",
  )
  const config = await readConfigFile(path, true)
  t.throws(() => readRoutes({ config }), {
    name: "UsageError",
    message: `${path}:4: models.routes[1].model must be a text (and 1 more such fault)`,
  })
  t.throws(() => readRoutes({ set: ['models.routes=[{"to":"b"}]'] }), {
    message: '--set models.routes=[{"to":"b"}]: models.routes[0].model must be a text',
  })
  t.throws(() => readRoutes({ config: { path: "c", values: { models: { routes: [1, 2, 3] } } } }), {
    message: "c: models.routes[0].model must be a text (and 2 more such faults)",
  })
})
