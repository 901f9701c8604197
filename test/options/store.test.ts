import { test } from "tap"
import { NO_SOURCES, type OptionSources } from "../../lib/options/sources.ts"
import { OptionStore } from "../../lib/options/store.ts"

const specs = {
  limit: { type: "integer", default: 0, help: "A limit." },
  models: { type: "list", default: ["a"], help: "Models." },
} as const

const set = (...texts: string[]): OptionSources => ({ ...NO_SOURCES, set: texts })
const config = (values: Record<string, unknown>): OptionSources => ({
  ...NO_SOURCES,
  config: { path: "c.yaml", values },
})

test("values are live: the object that was handed out once shows an update", (t) => {
  const store = new OptionStore(set("budget.limit=1"))
  const values = store.define("budget", specs)
  t.equal(values.limit, 1)
  const heard: string[][] = []
  const stop = store.onChange((changed) => heard.push([...changed]))
  t.same([...store.update(set("budget.limit=2", "budget.models=a"))], ["budget.limit"], "an equal list is no change")
  t.same({ ...values }, { limit: 2, models: ["a"] })
  t.same([...store.update(set("budget.limit=2"))], [])
  stop()
  store.update(set("budget.limit=3"))
  t.same(heard, [["budget.limit"]])
  t.equal(values.limit, 3)
  t.throws(() => Object.assign(values, { limit: 4 }), TypeError, "addons cannot set them")
  t.end()
})

test("an update with one bad value changes nothing", (t) => {
  const store = new OptionStore(NO_SOURCES)
  const a = store.define("a", specs)
  const b = store.define("b", specs)
  store.onChange(() => t.fail("nothing changed"))
  t.throws(() => store.update(set("a.limit=1", "b.limit=x")), { name: "UsageError" })
  t.same([a.limit, b.limit], [0, 0])
  t.same([...store.update(NO_SOURCES)], [])
  t.end()
})

test("a prepared group has values, and is part of the store only when adopted", (t) => {
  const store = new OptionStore(set("budget.limit=1"))
  const old = store.define("budget", specs)
  const group = store.prepare("budget", { ...specs, more: { type: "boolean", default: true, help: "More." } })
  t.same({ ...group.values }, { limit: 1, models: ["a"], more: true })
  t.same([...group.names], ["budget.limit", "budget.models", "budget.more"])
  store.update(set("budget.limit=2"))
  t.same([old.limit, group.values.limit], [2, 1])
  store.adopt(group)
  store.update(set("budget.limit=3"))
  t.same([old.limit, group.values.limit], [2, 3])
  t.throws(() => new OptionStore(NO_SOURCES).adopt(group), /prepared by another store/)
  store.drop("budget")
  t.same(store.describe(), [])
  t.end()
})

test("help lists the program's own options first", (t) => {
  const store = new OptionStore(NO_SOURCES)
  store.define("budget", specs)
  store.define(undefined, { port: { type: "integer", default: 1, help: "The port." } })
  t.same(
    store.describe().map((row) => row.name),
    ["port", "budget.limit", "budget.models"],
  )
  t.end()
})

test("a name that nobody declares is refused with a suggestion", (t) => {
  const cases: [OptionSources, string | undefined][] = [
    [set("budget.limit=1", "port=1"), undefined],
    [set("budget.limt=1"), '--set budget.limt: addon "budget" has no such option; did you mean "budget.limit"?'],
    [set("bugdet.limit=1"), '--set bugdet.limit: no addon named "bugdet" is loaded; did you mean "budget"?'],
    [set("redact.words=1"), '--set redact.words: no addon named "redact" is loaded; load it with -s'],
    [set("prot=1"), '--set prot: no such option; did you mean "port"?'],
    [config({ port: 1, budget: { limit: 1 }, notLoaded: { x: 1 } }), undefined],
    [config({ prot: 1 }), 'c.yaml: no option named "prot"; did you mean "port"?'],
    [config({ bugdet: 1 }), 'c.yaml: no option named "bugdet"; did you mean "budget"?'],
    [
      config({ budget: { limt: 1 } }),
      'c.yaml: budget: addon "budget" has no option named "limt"; did you mean "limit"?',
    ],
    [config({ budget: null }), undefined],
  ]
  for (const [sources, message] of cases) {
    const store = new OptionStore(sources)
    store.define("budget", specs)
    store.define(undefined, { port: { type: "integer", default: 1, help: "The port." } })
    if (message === undefined) t.doesNotThrow(() => store.checkNames())
    else t.throws(() => store.checkNames(), { name: "UsageError", message })
  }
  const bare = new OptionStore(config({ other: 1 }))
  t.throws(() => bare.checkNames(), { message: 'c.yaml: no option named "other"' })
  t.end()
})

test("settings of an addon that is not loaded are told, with the line and what loads it", (t) => {
  const values = { port: 1, hello: { greeting: "Hey" }, budgett: { limit: 1 }, budget: { limit: 2 } }
  const lineOf = (key?: string | number) => Object.keys(values).indexOf(String(key)) + 1
  const store = new OptionStore({ ...NO_SOURCES, config: { path: "config.yaml", values, lineOf } })
  store.define(undefined, { port: { type: "integer", default: 0, help: "" } })
  store.define("budget", { limit: { type: "integer", default: 0, help: "" } })
  const unused = "is loaded, so that its settings count for nothing"
  t.same(store.unused(), [
    `config.yaml:2: no addon named "hello" ${unused}; -s hello loads one that llmproxy brings`,
    `config.yaml:3: no addon named "budgett" ${unused}; did you mean "budget"?`,
  ])
  t.same(new OptionStore(NO_SOURCES).unused(), [])
  t.end()
})

test("variables that begin as ours and are no option's are told", (t) => {
  const env = {
    LLMPROXY_LIMT: "1",
    LLMPROXY_CONFDIR: "conf",
    LLMPROXY_BUDGET_LIMIT: "3",
    "LLMPROXY_\u001b[2J": "x",
    HOME: "/",
  }
  const envFile = { path: ".env", values: { LLMPROXY_BUDGET_LIMITS: "4", OPENAI_API_KEY: "sk-x" } }
  const store = new OptionStore({ ...NO_SOURCES, env, envFile })
  store.define(undefined, { limit: { type: "integer", default: 0, help: "" } })
  store.define("budget", { limit: { type: "integer", default: 0, help: "" } })
  const none = "no option of what is loaded has this name, so that it counts for nothing"
  const lines = store.unused()
  t.same(lines, [
    `LLMPROXY_LIMT (environment): ${none}; did you mean "LLMPROXY_LIMIT"?`,
    lines[1],
    `LLMPROXY_BUDGET_LIMITS (.env): ${none}; did you mean "LLMPROXY_BUDGET_LIMIT"?`,
  ])
  t.notMatch(lines[1], "\u001b", "a name is shown, not done")
  t.end()
})

test("the passwords in options are known as secrets, and no host is taken for one", (t) => {
  const urls = { mode: { type: "list", default: [], help: "Modes." } } as const
  const secretsOf = (text: string) => {
    const store = new OptionStore({ ...NO_SOURCES, set: [`mode=${text}`] })
    store.define(undefined, urls)
    return store.secrets().filter((secret) => secret !== "")
  }
  t.same(secretsOf("reverse:https://api.example.com@18082"), [])
  t.same(secretsOf("reverse:https://api.example.com@127.0.0.1:18082"), [])
  t.same(secretsOf("upstream:http://proxy.example.com@8080"), [])
  t.same(secretsOf("upstream:http://me:pa%20ss@proxy.example.com:3128@8080"), ["pa ss"])
  t.same(secretsOf("upstream:http://token-of-mine@proxy.example.com"), ["token-of-mine"])
  t.same(secretsOf("http://me:word@h/x"), ["word"])
  t.same(secretsOf("postgres://llmproxy@db/llmproxy"), [], "a database's user is a name")
  t.same(secretsOf("postgres://llmproxy:word@db/llmproxy"), ["word"])
  t.end()
})

test("a key that was written into a structured option is known as a secret, the name of a variable is none", (t) => {
  const value = [
    { url: "https://ann:hidden-1@example.org", key: "hidden-2", headers: { "X-Api-Key": ["hidden-3"] } },
    { url: "https://example.org", key: "env OPENAI_API_KEY", name: "a" },
  ]
  const config = { path: "c", values: { models: { upstreams: { openai: value[0] }, routes: value } } }
  const store = new OptionStore({ ...NO_SOURCES, config })
  store.define("models", { upstreams: { type: "json", help: "" }, routes: { type: "items", help: "" } })
  const secrets = store.secrets().filter((text) => text !== "")
  t.same(secrets, ["hidden-1", "hidden-2", "hidden-3", "hidden-1", "hidden-2", "hidden-3"])
  store.define("models", { routes: { type: "items", secret: true, help: "" } })
  t.ok(store.secrets().includes("https://example.org"), "all of an option that is a secret is one")
  t.end()
})

test("a variable that is read for a key counts after the environment in .env, and is a secret from then on", (t) => {
  const store = new OptionStore({
    ...NO_SOURCES,
    env: { BOX_KEY: "box-0123456789", EMPTY: "" },
    envFile: { path: ".env", values: { BOX_KEY: "other", EMPTY: "from-the-file" } },
  })
  t.equal(store.variable("BOX_KEY"), "box-0123456789")
  t.equal(store.variable("EMPTY"), "from-the-file")
  t.equal(store.variable("UNSET"), undefined)
  t.same(store.secrets(), ["box-0123456789", "from-the-file"])
  t.end()
})
