/** Where the values of options come from: flag, environment, .env, config file, default. */
import { join } from "node:path"
import { test } from "tap"
import { readArguments } from "../../lib/cli/arguments.ts"
import { confdirOf, PROXY_FLAGS, sourcesOf } from "../../lib/cli/proxy-flags.ts"
import { CORE_OPTIONS } from "../../lib/options/core.ts"
import { resolveOptions } from "../../lib/options/resolve.ts"
import { FakeWorld } from "../helpers/world.ts"

test("a flag wins over the environment, that over .env, that over the config file, that over the default", async (t) => {
  const folder = t.testdir({
    confdir: { "config.yaml": "port: 4\nhost: 127.0.0.4\nbodyLimit: 4\n" },
    ".env": "LLMPROXY_PORT=3\nLLMPROXY_HOST=127.0.0.3\nLLMPROXY_CONFDIR=confdir\n",
  })
  const port = async (env: Record<string, string>, ...argv: string[]) => {
    const world = new FakeWorld({ cwd: folder, home: folder, env })
    const { sources, confdir } = await sourcesOf(await readArguments(argv, PROXY_FLAGS), world)
    t.equal(confdir, join(folder, "confdir"), "the confdir may stand in .env")
    return resolveOptions(undefined, CORE_OPTIONS, sources)
  }
  t.equal((await port({ LLMPROXY_PORT: "2" }, "-p", "1")).port, 1)
  t.equal((await port({ LLMPROXY_PORT: "2" })).port, 2)
  t.equal((await port({})).port, 3)
  t.equal((await port({})).bodyLimit, 4)
  t.equal((await port({})).connectTimeoutMs, CORE_OPTIONS.connectTimeoutMs.default)
  t.equal((await port({}, "-p", "1", "--set", "port=9")).port, 9, "--set says it most exactly")
})

test("every flag of an option reaches its option", async (t) => {
  const world = new FakeWorld({ cwd: t.testdir(), home: t.testdir() })
  const argv = ["--base-host", "a", "--base-host", "b,c", "--insecure", "--flow-detail", "3", "--connect-to", "a:1:b:2"]
  argv.push("--proxy-auth", "ann:pass", "--proxy-auth-file", "users", "--allow-clients", "::1")
  const { sources } = await sourcesOf(await readArguments(argv, PROXY_FLAGS), world)
  const values = resolveOptions(undefined, CORE_OPTIONS, sources)
  t.same(values.baseHost, ["a", "b,c"])
  t.equal(values.insecure, true)
  t.equal(values.flowDetail, 3)
  t.same(values.connectTo, ["a:1:b:2"])
  t.match(values, { proxyAuth: "ann:pass", proxyAuthFile: "users", allowClients: ["::1"] })
})

test("--redis is where keys are counted, and --set says it more exactly", async (t) => {
  const world = new FakeWorld({ cwd: t.testdir(), home: t.testdir() })
  const redis = async (...argv: string[]) => {
    const { sources } = await sourcesOf(await readArguments(argv, PROXY_FLAGS), world)
    return resolveOptions("keys", { redis: { type: "string", default: "", help: "" } }, sources).redis
  }
  t.equal(await redis("--redis", "redis://127.0.0.1:6379"), "redis://127.0.0.1:6379")
  t.equal(await redis("--redis", "redis://a:1", "--set", "keys.redis=redis://b:2"), "redis://b:2")
  t.equal(await redis(), "")
})

test("named files count instead of the usual ones", async (t) => {
  const cwd = t.testdir({
    "my.yaml": "port: 5",
    "my.env": "LLMPROXY_HOST=127.0.0.5",
    ".env": "LLMPROXY_HOST=127.0.0.1",
  })
  const argv = ["--config", "my.yaml", "--dotenv", "my.env", "--mode", "regular"]
  const { sources, confdir } = await sourcesOf(
    await readArguments(argv, PROXY_FLAGS),
    new FakeWorld({ cwd, home: "/h" }),
  )
  const { port, host } = resolveOptions(undefined, CORE_OPTIONS, sources)
  t.same([port, host, confdir], [5, "127.0.0.5", "/h/.llmproxy"])
})

test("the confdir is the flag's, then LLMPROXY_CONFDIR's, then .env's, from the current folder", async (t) => {
  const env = { LLMPROXY_CONFDIR: "b" }
  const line = (...argv: string[]) => readArguments(argv, PROXY_FLAGS)
  const world = new FakeWorld({ cwd: "/w", home: "/h", env })
  t.equal(confdirOf(await line("--confdir", "a"), world, { LLMPROXY_CONFDIR: "c" }), "/w/a")
  t.equal(confdirOf(await line(), world, { LLMPROXY_CONFDIR: "c" }), "/w/b")
  t.equal(confdirOf(await line(), new FakeWorld({ cwd: "/w", home: "/h" }), { LLMPROXY_CONFDIR: "/c" }), "/c")
})
