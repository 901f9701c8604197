/** From the line to a command and an exit status. */
import { readFileSync } from "node:fs"
import { test } from "tap"
import { COMMANDS } from "../../lib/cli/commands.ts"
import { main } from "../../lib/cli/main.ts"
import { FakeWorld, type FakeWorldOptions } from "../helpers/world.ts"

async function run(argv: string[], options: FakeWorldOptions = {}) {
  const world = new FakeWorld(options)
  const status = await main(argv, world)
  return { status, out: world.out.text, err: world.err.text }
}

test("--version prints the package's, whatever the command", async (t) => {
  const parsed: { version: string } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))
  t.same(await run(["--version"]), { status: 0, out: `${parsed.version}\n`, err: "" })
  t.same(await run(["run", "--version"]), { status: 0, out: `${parsed.version}\n`, err: "" })
})

test("--help lists every command and flag within the width of the terminal", async (t) => {
  const { status, out } = await run(["--help"], { columns: 80 })
  t.equal(status, 0)
  for (const name of Object.keys(COMMANDS)) t.ok(name === "start" || out.includes(`llmproxy ${name} `), name)
  for (const flag of ["-p, --port", "-s, --script", "--connect-to", "--flow-detail", "-m, --mode"])
    t.ok(out.includes(flag), flag)
  t.match(out, /Port to listen on.*\[default: 8080\]/)
  t.ok(out.split("\n").every((line) => line.length <= 80))
})

test("--help of a command has its own flags only", async (t) => {
  const { out } = await run(["env", "-h"])
  t.match(out, /^llmproxy env \[options\]\n/)
  t.match(out, "--shell")
  t.notMatch(out, "--script")
})

test("--help with an addon has its options, with defaults and environment names", async (t) => {
  const cwd = t.testdir({
    "budget.js": `export default { name: "budget", request() {}, options: {
      limit: { type: "integer", default: 5, min: 0, help: "Tokens that may be spent." } } }`,
    "plain.js": "export function request() {}",
  })
  const { status, out } = await run(["-s", "budget.js", "--help"], { cwd, home: cwd })
  t.equal(status, 0)
  const shown = "  budget.limit = 5\n      Tokens that may be spent. An integer of at least 0. LLMPROXY_BUDGET_LIMIT\n"
  t.ok(out.includes(shown), out)
  t.match((await run(["-s", "plain.js", "--help"], { cwd, home: cwd })).out, "The addons have no options.")
  t.equal((await run(["-s", "gone.js", "--help"], { cwd, home: cwd })).status, 2)
})

test("--options prints all options", async (t) => {
  const cwd = t.testdir()
  const { status, out } = await run(["--options"], { cwd, home: cwd, columns: 60 })
  t.equal(status, 0)
  t.match(out, /^ {2}port = 8080\n {6}Port to listen on/)
  t.match(out, /An integer from 0 to\s+65535\.\s+LLMPROXY_PORT\n/)
  t.ok(out.split("\n").every((line) => line.length <= 60))
  t.match(out, 'baseHost = ""\n')
})

test("what is wrong with the line is one line, and status 2", async (t) => {
  const wrong: [string[], string][] = [
    [["--prot", "1"], '--prot: no such flag; did you mean "--port"?'],
    [["strat"], 'no command named "strat"; did you mean "start"?'],
    [["addons/hello.ts"], 'no command named "addons/hello.ts"; an addon is loaded with -s'],
    [["-q", "run"], "run: a command comes first, as in llmproxy run ..."],
    [["env", "now"], 'env: takes no "now"'],
    [["run", "curl", "URL"], "run curl: what to run stands behind --, as in llmproxy run -- curl ..."],
    [["--env-file", "none"], "--env-file: no flag of llmproxy's: Node takes this flag for itself"],
    [["--", "curl"], 'start: takes nothing behind "--"; to start a program write llmproxy run -- CMD'],
    [["-p", "http"], "--port http: port must be an integer from 0 to 65535"],
    [["--flow-detail", "7"], "--flow-detail 7: flowDetail must be an integer from 0 to 4"],
    [["--set", "prot=1"], '--set prot: no such option; did you mean "port"?'],
    [["--base-upstream", "h"], "--base-upstream h: the upstream needs a scheme, for example https://h"],
    [
      ["-m", "sock5"],
      "--mode sock5: there is no such mode; there are regular, reverse:URL, upstream:URL, socks5 and transparent",
    ],
    [["-s", "none.ts"], "-s none.ts: no such addon"],
    [["--config", "none.yaml"], "config file"],
    [["--dotenv", "none"], "--dotenv"],
  ]
  const home = t.testdir()
  for (const [argv, message] of wrong) {
    const { status, out, err } = await run(argv, { home, cwd: home })
    t.equal(status, 2, argv.join(" "))
    t.ok(err.startsWith(`llmproxy: ${message}`), err)
    t.equal(err.trimEnd().split("\n").length, 1, "one line")
    t.equal(out, "")
  }
})

test("a world that is not as it should be is one line, and status 1", async (t) => {
  const home = t.testdir({ confdir: "a file, no folder" })
  const { status, err } = await run(["ca", "--confdir", `${home}/confdir`])
  t.equal(status, 1)
  t.match(err, /^llmproxy: .+\n$/)
})

test("a fault of ours shows its stack, without secrets", async (t) => {
  for (const [thrown, shown] of [
    [new Error("broken sk-abcdefghijkl"), /^Error: broken sk-\*\*\*\n +at /],
    ["a text", /^a text\n$/],
  ] as const) {
    const world = new FakeWorld()
    world.out.write = () => {
      throw thrown
    }
    t.equal(await main(["--version"], world), 1)
    t.match(world.err.text, shown)
  }
})
