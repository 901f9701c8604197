/** `llmproxy`, in this process: what it says when it starts, what it prints of flows, and how it ends. */
import { type AddressInfo, createServer } from "node:net"
import { join } from "node:path"
import { type Test, test } from "tap"
import { main } from "../../lib/cli/main.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
import { ScriptedOrigin } from "../../lib/testing/origin.ts"
import { startCommand } from "../helpers/command-process.ts"
import { jsonReply, sseReply } from "../helpers/hosts/chat-replies.ts"
import { FakeWorld, type FakeWorldOptions } from "../helpers/world.ts"

interface Running {
  readonly world: FakeWorld
  readonly url: string
  /** Sends the signal and resolves to the exit status. */
  end(): Promise<number>
}

async function start(t: Test, argv: string[], options: FakeWorldOptions = {}): Promise<Running> {
  const home = t.testdir({
    "mark.js": `export default { name: "mark", request(flow) { flow.route({ name: "local", reason: "a test" }) } }`,
  })
  const world = new FakeWorld({ home, cwd: home, ...options })
  const ending = main(["-p", "0", ...argv], world)
  await Promise.race([
    world.err.until(/listening on \S+/),
    ending.then(() => Promise.reject(new Error(world.err.text))),
  ])
  const url = /listening on (\S+)/.exec(world.err.text)?.[1] ?? ""
  const end = () => {
    world.signal("SIGTERM")
    return ending
  }
  return { world, url, end }
}

const urlOf = ({ port }: ScriptedOrigin) => `http://127.0.0.1:${port}`

const CHAT = { model: "gpt-4o", messages: [{ role: "user", content: "Hi" }] }

const ask = (url: string, body: object) =>
  fetch(`${url}/v1/chat/completions`, { method: "POST", body: JSON.stringify(body) }).then((answer) => answer.text())

test("it says where it listens, the base URL, and how a shell is pointed at it", async (t) => {
  const { world, url, end } = await start(t, ["--confdir", "my confdir", "-s", "mark.js"])
  const port = new URL(url).port
  t.equal(
    world.err.text,
    `llmproxy listening on ${url}\n` +
      "  addons                  mark\n" +
      `  base URL                OPENAI_BASE_URL=${url}/v1\n` +
      `  all traffic of a shell  eval "$(llmproxy env -p ${port} --confdir '${join(world.cwd, "my confdir")}')"\n`,
  )
  t.equal(await end(), 0)
  t.equal(world.out.text, "", "and a proxy without flows prints none, and no summary")
})

test("flows are printed on stdout, one line each, and summed up at the end", async (t) => {
  const origin = await ScriptedOrigin.start(jsonReply("Hello", { prompt_tokens: 9, completion_tokens: 2 }))
  t.teardown(() => origin.close())
  const { world, url, end } = await start(t, ["-s", "mark.js", "--base-upstream", urlOf(origin)])
  await ask(url, CHAT)
  await world.out.until("\n")
  const line =
    /^\d\d:\d\d:\d\d [0-9a-f]{8} {2}POST 127\.0\.0\.1:\d+\/v1\/chat\/completions {2}gpt-4o {2}local: a test {2}in 9 {2}out 2 {2}200 {2}\d+ ms\n$/
  t.match(world.out.text, line)
  t.equal(await end(), 0)
  t.match(world.err.text, "\n1 request\nroutes: local 1\ntokens: 9 in, 2 out\nkept local: 11 tokens (100 %)\n")
})

test("tokens that the host does not tell are counted before the program ends", async (t) => {
  const origin = await ScriptedOrigin.start(sseReply(["Hello ", "there"]))
  t.teardown(() => origin.close())
  const { world, url, end } = await start(t, ["--base-upstream", urlOf(origin)])
  await ask(url, { ...CHAT, stream: true })
  t.equal(await end(), 0)
  t.match(world.out.text, /gpt-4o {2}in ~\d+ {2}out ~\d+ {2}200 {2}first \d+ ms/)
  t.match(world.err.text, /tokens: ~\d+ in, ~\d+ out/)
})

test("every listener is printed with what its clients are given, and no credentials", async (t) => {
  const modes = ["regular", "socks5@0", "reverse:http://h/v1@0", "upstream:http://me:secret@p:3128@0", "transparent@0"]
  const { world, end } = await start(
    t,
    modes.flatMap((mode) => ["-m", mode]),
  )
  const lines = world.err.text
    .split("\n")
    .slice(1)
    .filter((line) => line !== "")
  const patterns = [
    /^ {2}base URL {16}OPENAI_BASE_URL=http:\/\/127\.0\.0\.1:\d+\/v1$/,
    /^ {2}all traffic of a shell {2}eval "\$\(llmproxy env -p \d+\)"$/,
    /^ {2}socks5 {18}socks5:\/\/127\.0\.0\.1:\d+$/,
    /^ {2}reverse:http:\/\/h\/v1 {5}http:\/\/127\.0\.0\.1:\d+$/,
    /^ {2}upstream:http:\/\/p:3128 {2}http:\/\/127\.0\.0\.1:\d+$/,
    /^ {2}transparent {13}127\.0\.0\.1:\d+, for redirected connections: see llmproxy doctor -m transparent$/,
  ]
  t.match(lines, patterns)
  t.equal(lines.length, patterns.length)
  t.notMatch(world.err.text, "secret")
  await end()
  const alone = await start(t, ["-m", "socks5"])
  t.match(alone.world.err.text, /^llmproxy listening on socks5:\/\/127\.0\.0\.1:\d+\n$/)
  await alone.end()
})

test("-q prints no announcement and no advice, but warns of what is dangerous", async (t) => {
  const home = t.testdir()
  const world = new FakeWorld({ home, cwd: home, nodeVersion: "20.20.2" })
  const ending = main(["-q", "--insecure", "-p", "0"], world)
  await world.err.until("not verified")
  world.signal("SIGINT")
  t.equal(await ending, 0)
  t.equal(world.out.text, "")
  t.equal(world.err.text, "warning: --insecure: upstream certificates are not verified\n")
})

test("an old Node and an address that others reach are warned of", async (t) => {
  const { world, end } = await start(t, ["--host", "0.0.0.0"], { nodeVersion: "20.20.2" })
  t.match(world.err.text, "warning: Node 20.20.2 gets no security fixes any more")
  t.match(
    world.err.text,
    /warning: listening on 0\.0\.0\.0: clients of other machines are turned away; let them in with --allow-clients/,
  )
  t.match(world.err.text, "--host 0.0.0.0", "the variables are asked for with the same host")
  t.match(world.err.text, "listening on http://127.0.0.1:", "and the URL is one that can be reached")
  await end()
})

test("an address that others reach is warned of with who may come", async (t) => {
  const user = ["--proxy-auth", "ann:secret"]
  const range = ["--allow-clients", "10.0.0.0/8"]
  for (const [flags, expected] of [
    [user, "users with a password can use the proxy and the keys that it adds; limit where they come from"],
    [["-s", "keys"], "whoever has a key can use the proxy and the keys that it adds"],
    [["-s", "keys", ...range], "whoever has a key, from 10.0.0.0/8, can use the proxy and the keys that it adds"],
    [range, "whoever is in 10.0.0.0/8 can use the proxy and the keys that it adds"],
    [[...user, ...range], "users with a password from 10.0.0.0/8 can use the proxy and the keys that it adds"],
  ] as const) {
    const { world, end } = await start(t, ["--host", "0.0.0.0", ...flags])
    t.match(world.err.text, `warning: listening on 0.0.0.0: ${expected}`)
    t.notMatch(world.err.text, "secret")
    await end()
  }
})

test("open streams get ten seconds after the first signal", async (t) => {
  const clock = new ManualClock()
  const origin = await ScriptedOrigin.start(() => {}) // never answers
  t.teardown(() => origin.close())
  const { world, url, end } = await start(t, ["--base-upstream", urlOf(origin)], { clock })
  const asked = ask(url, CHAT)
  await origin.received(1)
  const ending = end()
  await world.err.until("open streams get 10 s")
  clock.advance(10_000)
  await t.rejects(asked)
  t.equal(await ending, 0)
})

test("a second signal ends at once", async (t) => {
  const origin = await ScriptedOrigin.start(() => {})
  t.teardown(() => origin.close())
  const clock = new ManualClock()
  const { world, url, end } = await start(t, ["--base-upstream", urlOf(origin)], { clock })
  const asked = ask(url, CHAT).catch(() => "cut")
  await origin.received(1)
  const ending = end()
  await world.err.until("open streams")
  world.signal("SIGINT")
  t.same(world.exits, [0])
  clock.advance(10_000)
  await Promise.all([ending, asked])
})

test("a port in use is one line, and status 1", async (t) => {
  const server = createServer().listen(0, "127.0.0.1")
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once("listening", resolve))
  const { port } = server.address() as AddressInfo
  const home = t.testdir()
  const world = new FakeWorld({ home, cwd: home })
  t.equal(await main(["-p", String(port)], world), 1)
  t.match(world.err.text, /^llmproxy: listen on 127\.0\.0\.1:\d+: the port is in use; [^\n]+\n$/)
})

test("a signal ends a start that hangs", async (t) => {
  const folder = t.testdir({ "slow.mjs": "await new Promise(() => {})\nexport default {}" })
  const command = startCommand(t, ["-p", "0", "-s", "slow.mjs"], { folder })
  await command.printed(/slow\.mjs/)
  command.signal("SIGTERM")
  t.equal((await command.outcome).status, 0)
})

const PROC = process.platform === "linux" ? {} : { skip: "only Linux has /proc" }

test("a confdir that cannot be made ends the start in one line", PROC, async (t) => {
  const world = new FakeWorld({ home: t.testdir() })
  t.equal(await main(["-p", "0", "--confdir", "/proc/x"], world), 1)
  t.match(world.err.text, /^llmproxy: make the folder \/proc\/x: ENOENT.*; name another with --confdir\n$/)
})
