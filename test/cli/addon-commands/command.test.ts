/** Commands of addons: how they are found, read, helped with, and what becomes of what they return and throw. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { test } from "tap"
import { shippedCommands } from "../../../lib/cli/addon-commands/shipped.ts"
import { main } from "../../../lib/cli/main.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { FakeWorld, type FakeWorldOptions } from "../../helpers/world.ts"

const TALLY = `
import { defineAddon, UsageError } from "llmproxy"
export default defineAddon({
  name: "votes",
  options: { title: { type: "string", default: "Votes", help: "Its title." } },
  setup({ command, options, send }) {
    command({
      name: "tally",
      help: "count the votes",
      options: {
        maxAge: { type: "integer", default: 5, min: 1, help: "Days." },
        who: { type: "list", help: "Of whom." },
        long: { type: "boolean", help: "More of it." },
        order: { type: "string", choices: ["up", "down"], help: "How." },
      },
      operands: "[POLL...]",
      run({ flags, operands, print, note, options: own }) {
        print(JSON.stringify({ flags, operands, title: own.title, same: own === options }) + "\\n")
        note("counted\\n")
      },
    })
    command({ name: "bare", help: "do little", run: async ({ operands }) => operands.length })
    command({ name: "three", help: "return 3", run: () => 3 })
    command({ name: "odd", help: "return a text", run: () => "done" })
    command({ name: "wrong", help: "throw a UsageError", run() { throw new UsageError("wrong: say which") } })
    command({ name: "fails", help: "fail", async run() { throw new RangeError("no votes", { cause: new Error("none came") }) } })
    command({ name: "colours", help: "print escapes", run: ({ print }) => print("\\u001b[2Jred\\n") })
    command({ name: "asks", help: "send", run: () => send({}, { url: "http://127.0.0.1:1/" }) })
    command({ name: "ends", help: "end when asked to", run: ({ signal, print }) => new Promise((resolve) => {
      signal.addEventListener("abort", () => { print("asked to end\\n"); resolve(0) })
    }) })
    command({ name: "hangs", help: "never end", run: () => new Promise(() => {}) })
    return { load() { throw new Error("no hook runs for a command") }, done() { throw new Error("nor this one") } }
  },
})`

const files = { "votes.ts": TALLY, "quiet.ts": "export function request() {}" }

async function run(argv: string[], cwd: string, options: FakeWorldOptions = {}) {
  const world = new FakeWorld({ cwd, home: cwd, ...options })
  const status = await main(argv, world)
  return { status, out: world.out.text, err: world.err.text }
}

test("a command of an addon reads its flags by their declaration, and runs without a hook", async (t) => {
  const cwd = t.testdir(files)
  const plain = await run(["-s", "votes.ts", "tally"], cwd)
  t.same(plain, { status: 0, out: plain.out, err: "counted\n" })
  t.strictSame(JSON.parse(plain.out), { flags: { maxAge: 5 }, operands: [], title: "Votes", same: true })
  const argv = ["tally", "a", "--max-age", "9", "--who", "x,y", "--who=z", "--long", "--order=up", "b"]
  const set = await run(["-q", "-s", "votes.ts", "--set", "votes.title=All", ...argv, "--set", "votes.title=Ours"], cwd)
  t.strictSame(JSON.parse(set.out), {
    flags: { maxAge: 9, who: ["x,y", "z"], long: true, order: "up" },
    operands: ["a", "b"],
    title: "Ours",
    same: true,
  })
})

test("a command that sends is told that there is no proxy to send with", async (t) => {
  const { status, err } = await run(["-s", "votes.ts", "asks"], t.testdir(files))
  t.equal(status, 1)
  t.match(
    err,
    /addon "votes": send: the proxy does not listen yet; send from the hook `running` on \(a command runs without/,
  )
})

test("what is wrong with the line is one line, and status 2", async (t) => {
  const cwd = t.testdir(files)
  const votes = ["-s", "votes.ts"]
  const wrong: [string[], string][] = [
    [[...votes, "tally", "--max-agee", "9"], '--max-agee: no such flag; did you mean "--max-age"?'],
    [[...votes, "tally", "--max-age", "0"], "--max-age 0: maxAge must be an integer of at least 1"],
    [[...votes, "tally", "--order", "dwon"], '--order dwon: order must be one of up, down; did you mean "down"?'],
    [[...votes, "tally", "--who"], "--who: the value is missing, write --who VALUE"],
    [[...votes, "bare", "more"], 'bare: takes no "more"'],
    [[...votes, "tally", "--", "x"], 'tally: takes nothing behind "--"'],
    [[...votes, "talyl"], 'no command named "talyl"; did you mean "tally"?'],
    [[...votes, "zzzzzz"], 'no command named "zzzzzz"; those of the addons are tally, bare, '],
    [["-s", "quiet.ts", "tally"], 'no command named "tally"; an addon is loaded with -s'],
    [["tally"], 'no command named "tally"; an addon is loaded with -s'],
    [["conductor"], 'no command named "conductor"; the addon of that name is loaded with -s conductor'],
    [["-s", "none.ts", "tally"], "-s none.ts: no such addon"],
    [[...votes, "wrong"], "wrong: say which"],
    [
      [...votes, "--set", "votes.titel=x", "tally"],
      '--set votes.titel: addon "votes" has no such option; did you mean ',
    ],
    [[...votes, "--prot", "1", "tally"], '--prot: no such flag; did you mean "--port"?'],
  ]
  for (const [argv, message] of wrong) {
    const { status, out, err } = await run(argv, cwd)
    t.equal(status, 2, argv.join(" "))
    t.ok(err.startsWith(`llmproxy: ${message}`), err)
    t.equal(err.trimEnd().split("\n").length, 1)
    t.equal(out, "")
  }
})

test("the status is what the command returns, and 1 with one line for what it throws", async (t) => {
  const cwd = t.testdir(files)
  const of = (name: string, ...more: string[]) => run(["-s", "votes.ts", name, ...more], cwd)
  t.same(await of("bare"), { status: 0, out: "", err: "" })
  t.same(await of("three"), { status: 3, out: "", err: "" })
  t.match(await of("odd"), { status: 1, err: "llmproxy: odd: failed: it returned done, which is no exit status\n" })
  const { status, err } = await of("fails")
  t.equal(status, 1)
  t.match(err, /^llmproxy: fails: failed: RangeError: no votes: none came \(.*votes\.ts:26:\d+\)\n$/)
  t.match((await of("fails", "-v")).err, /^RangeError: no votes\n {4}at .*votes\.ts:26/)
})

test("what is printed on a terminal steers nothing, and goes through as it is elsewhere", async (t) => {
  const cwd = t.testdir(files)
  t.equal((await run(["-s", "votes.ts", "colours"], cwd)).out, "\u001b[2Jred\n")
  t.notMatch((await run(["-s", "votes.ts", "colours"], cwd, { columns: 80 })).out, "\u001b")
})

test("output that is lost is status 1", async (t) => {
  const world = new FakeWorld({ cwd: t.testdir(files), home: "/nowhere" })
  world.out.lost = "no space left on device"
  t.equal(await main(["-s", "votes.ts", "tally"], world), 1)
  t.match(world.err.text, "what is printed could not be written whole: no space left on device")
})

test("a signal asks the command to end; after a while, or with a second one, it is ended", async (t) => {
  const cwd = t.testdir(files)
  const clock = new ManualClock()
  const started = (name: string) => {
    const world = new FakeWorld({ cwd, home: cwd, clock })
    const ended = main(["-s", "votes.ts", name], world)
    const signalled = async () => {
      while (world.listeners === 0) await new Promise(setImmediate)
      world.signal("SIGINT")
    }
    return { world, ended, signalled }
  }
  const ends = started("ends")
  await ends.signalled()
  t.equal(await ends.ended, 1)
  t.equal(ends.world.out.text, "asked to end\n")
  const hangs = started("hangs")
  await hangs.signalled()
  hangs.world.signal("SIGINT")
  t.strictSame(hangs.world.exits, [1])
  clock.advance(2_000)
  t.equal(await hangs.ended, 1)
  t.equal(hangs.world.listeners, 0)
})

test("help lists the commands of the addons, and a command's own has its flags", async (t) => {
  const cwd = t.testdir(files)
  const all = await run(["-s", "votes.ts", "--help"], cwd)
  t.match(
    all.out,
    /\nCommands of the addons \(llmproxy -s ADDON NAME, with --help for more\):\n {2}tally {4}count the votes\n/,
  )
  const { status, out, err } = await run(["-s", "votes.ts", "tally", "--help"], cwd)
  t.same({ status, err }, { status: 0, err: "" })
  t.match(out, /^llmproxy -s ADDON tally \[options\] \[POLL\.\.\.\]\n\nCount the votes\.\n/)
  t.match(out, /--max-age +Days\. +\[default: 5\]/)
  t.match(out, /--confdir/)
  t.notMatch(out, "--port")
  t.match(await run(["-s", "votes.ts", "tally", "--version"], cwd), { status: 0, out: /^\d+\.\d+/ })
})

test("a wrong declaration stops the load, with the command's name", async (t) => {
  const wrong: [string, string][] = [
    ['{ name: "A b", help: "h", run() {} }', 'command "A b": the name must be lower-case words joined by hyphens'],
    ['{ name: "doctor", help: "h", run() {} }', 'command "doctor": the name is llmproxy\'s own; give it another'],
    ['{ name: "a", help: "", run() {} }', 'command "a": help must be a sentence'],
    ['{ name: "a", help: "h" }', 'command "a": run must be a function'],
    ['{ name: "a", help: "h", run() {}, operands: 1 }', 'command "a": operands must be a text'],
    ['{ name: "a", help: "h", run() {}, flags: {} }', 'command "a": no field named "flags"'],
    ['{ name: "a", help: "h", run() {}, options: { x: { type: "text" } } }', 'command "a": option "x": type must be'],
    [
      '{ name: "a", help: "h", run() {}, options: { set: { type: "string", help: "h" } } }',
      'command "a": option "set" is a flag of every command',
    ],
  ]
  for (const [declared, message] of wrong) {
    const cwd = t.testdir({ "a.ts": `export default { setup({ command }) { command(${declared}) } }` })
    const { status, err } = await run(["-s", "a.ts", "a"], cwd)
    t.equal(status, 2)
    t.match(err, message)
  }
  const one = (name: string) => `export default { name: "${name}", setup({ command }) {
    command({ name: "same", help: "h", run() {} }) } }`
  const late = 'export default { setup({ command }) { return { load() { command({ name: "late" }) } } } }'
  const cwd = t.testdir({ "a.ts": one("a"), "b.ts": one("b"), "late.ts": late })
  const both = ["-s", "a.ts", "-s", "b.ts"]
  t.match(await run([...both, "same"], cwd), { status: 2, err: /addons "a" and "b" both have a command "same"/ })
  t.match(await run(["-s", "late.ts"], cwd), { status: 2, err: /command "late": is to be declared in setup/ })
})

test("shipped commands are named from the index", async (t) => {
  const folder = t.testdir({
    "index.mjs": `export const SHIPPED_ADDONS = [{ name: "keys", does: "x", command: "make keys" }, { name: "hello", does: "y" }]`,
    "odd.mjs": `export const SHIPPED_ADDONS = ["keys", { command: "make keys" }, { name: "keys", command: 1 }]`,
    "none.mjs": "export const OTHERS = []",
  })
  const named = (file: string) => shippedCommands(new URL(`file://${folder}/${file}`))
  t.strictSame(await named("index.mjs"), [{ name: "keys", help: "make keys" }])
  t.strictSame(await named("odd.mjs"), [], "the help leaves out what has no name or no text")
  t.strictSame(await named("none.mjs"), [])
  const declared = (await shippedCommands()).map(({ name }) => sourceOf(name))
  for (const source of declared) t.match(source, "command(")
})

/** An addon's own files, as one text. */
function sourceOf(name: string): string {
  const folder = `addons/${name}`
  const own = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : []
  const files = own.filter((file) => file.endsWith(".ts")).map((file) => `${folder}/${file}`)
  return [`${folder}.ts`, ...files].map((file) => readFileSync(file, "utf8")).join("\n")
}
