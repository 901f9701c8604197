/** The demo as a whole: real processes, real sockets, and what a person sees of them. */
import { readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { pathToFileURL } from "node:url"
import { test } from "tap"
import { CommandLine } from "../../lib/cli/command.ts"
import { demoEnvironment } from "../../lib/cli/demo/processes.ts"
import { demo } from "../../lib/cli/demo.ts"
import { builtCommand } from "../helpers/dist.ts"
import { FakeWorld } from "../helpers/world.ts"

/** The compiled programs: each starts in a moment, and is what people run. */
const BUILD = new URL("../lib/cli/demo/processes.js", pathToFileURL(builtCommand())).href

const env = {
  ...process.env,
  OPENAI_BASE_URL: "http://127.0.0.1:1/v1",
  MAX_TOKEN_COUNT: "1",
  HTTPS_PROXY: "http://127.0.0.1:1",
}

test("with --once eight requests go as told, and nothing is left behind", async (t) => {
  const before = readdirSync(tmpdir()).filter((name) => name.startsWith("llmproxy-demo-"))
  const world = new FakeWorld({ env, columns: 80 })
  world.env.NO_COLOR = "1"
  t.equal(await demo(new CommandLine({ once: true }), world, BUILD), 0, world.err.text + world.out.text)
  t.equal(world.out.text.match(/^ {2}✓ /gm)?.length, 8)
  t.match(
    world.out.text,
    /✓ small, streamed: to the local host\n {6}received {2}POST \/v1\/\S*completions, \d+ bytes rewritten for it, no key\n/,
  )
  t.match(
    world.out.text,
    /✓ large, not streamed: to the cloud\n {6}received {2}POST \/v1\/chat\/completions, \d+ bytes unchanged, with its key\n/,
  )
  t.match(world.out.text, /\nAll 8 requests went as told\.\n$/)
  t.ok(
    world.out.text.split("\n").every((line) => line.length <= 80),
    "it fits a terminal of 80 columns",
  )
  const after = readdirSync(tmpdir()).filter((name) => name.startsWith("llmproxy-demo-"))
  t.same(after, before)
})

test("on a terminal it stays up, says how to point a client at it, and shows what passes", async (t) => {
  const world = new FakeWorld({ env: { ...env, NO_COLOR: "1" }, columns: 100 })
  const ending = demo(new CommandLine({}), world, BUILD)
  await Promise.race([world.out.until("Ctrl-C ends it."), ending])
  const url = /curl (http:\/\/127\.0\.0\.1:\d+)\/v1\/chat\/completions/.exec(world.out.text)?.[1]
  t.match(world.out.text, `OPENAI_BASE_URL=${url}/v1`)
  const body = JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "Hello" }] })
  const answer = await fetch(`${url}/v1/chat/completions`, { method: "POST", body })
  t.match(await answer.json(), { choices: [{ message: { content: /^Simulated local host/ } }] })
  await world.out.until(
    /printed below\.\n\n[\d:]{8} [0-9a-f]{8} {2}POST .*gpt-4o → deepseek-coder-simulated\n {5}local: .*\n/,
  )
  const [, below = ""] = world.out.text.split("printed below.\n")
  t.ok(
    below.split("\n").every((line) => line.length <= 100),
    "what passes is broken between its fields, as the proxy does on a terminal",
  )
  world.signal("SIGINT")
  t.equal(await ending, 0)
})

test("a signal before the end ends it, with status 1", async (t) => {
  const world = new FakeWorld({ env })
  const ending = demo(new CommandLine({ once: true }), world, BUILD)
  await world.out.until("HTTPS interception")
  world.signal("SIGTERM")
  t.equal(await ending, 1)
  t.notMatch(world.out.text, "went as told")
})

test("the demo's processes see nothing that would lead them elsewhere", async (t) => {
  const cleaned = demoEnvironment({
    ...env,
    OPENAI_API_KEY: "k",
    LLMPROXY_PORT: "1",
    no_proxy: "*",
    PATH: "/bin",
    HOME: "/h",
  })
  for (const name of [
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "LLMPROXY_PORT",
    "MAX_TOKEN_COUNT",
    "HTTPS_PROXY",
    "no_proxy",
  ])
    t.equal(cleaned[name], undefined, name)
  t.match(cleaned, { PATH: "/bin", HOME: "/h" })
})
