import { lstat, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { type Test, test } from "tap"
import type { FlowSnapshot } from "../../lib/api/flow.ts"
import { main } from "../../lib/cli/main.ts"
import { openHistory } from "../../lib/store/history-place.ts"
import { MIGRATIONS, migrate } from "../../lib/store/migrations.ts"
import { openSqlite } from "../../lib/store/sqlite.ts"
import { Writer } from "../../lib/store/writer.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
import { startCommand } from "../helpers/command-process.ts"
import { makeFifo, readFifo } from "../helpers/fifo.ts"
import { type ChatOptions, chat, START } from "../helpers/flow-snapshots.ts"
import { until } from "../helpers/hosts/proxy-host.ts"
import { FakeWorld } from "../helpers/world.ts"

const HOUR_MS = 3_600_000

interface History {
  readonly home: string
  readonly file: string
  /** Stays open: a proxy that runs. */
  readonly writer: Writer
  run(args: string, columns?: number): Promise<{ status: number; out: string; err: string }>
}

async function history(t: Test, flows: readonly FlowSnapshot[]): Promise<History> {
  const home = await mkdtemp(join(tmpdir(), "llmproxy-history-"))
  t.teardown(() => rm(home, { recursive: true, force: true }))
  const file = join(home, ".llmproxy", "history.db")
  const writer = new Writer(await openHistory(file))
  t.teardown(() => writer.close())
  await writer.store(flows)
  return { home, file, writer, run: (args, columns) => run(home, args, columns) }
}

async function run(home: string, args: string, columns?: number) {
  const clock = new ManualClock(START + 10 * HOUR_MS)
  const world = new FakeWorld({
    home,
    cwd: home,
    clock,
    ...(columns === undefined ? {} : { columns }),
    env: { NO_COLOR: "1" },
  })
  const status = await main(["history", ...args.split(" ").filter((word) => word !== "")], world)
  return { status, out: world.out.text, err: world.err.text }
}

function at(hours: number, options: ChatOptions = {}, more: Partial<FlowSnapshot> = {}): FlowSnapshot {
  return chat({ start: START + hours * HOUR_MS, ...options }, more)
}

function user(content: string) {
  return { role: "user", content }
}

function sample(): FlowSnapshot[] {
  const local = at(1, {
    messages: [user("Why is the sky blue?")],
    route: "local",
    model: "deepseek-coder",
    answer: "Rayleigh.",
  })
  const failed = at(
    3,
    { messages: [user("too much")] },
    { response: { status: 429, headers: [], body: undefined, truncated: false } },
  )
  const limit = {
    kind: "rate_limit",
    status: 429,
    message: "slow\u001b[31m down",
    code: "rate",
    type: undefined,
    raw: undefined,
  } as const
  return [
    local,
    at(1, { answer: "no" }, { parentId: local.id }),
    at(
      2,
      { messages: [user("Say hello.")], answer: "Hello, Ünicode!", usage: { source: "counted", cachedTokens: 4 } },
      {
        client: {
          id: "alice",
          user: undefined,
          label: undefined,
          claims: undefined,
          address: "::1",
          port: 1,
          tls: undefined,
        },
      },
    ),
    { ...failed, llm: { dialect: "openai-chat", model: "gpt-4o", completion: undefined, error: limit } },
  ]
}

test("the list shows the latest flows first, one a line, attempts only when asked for", async (t) => {
  const { run } = await history(t, sample())
  const { status, out } = await run("")
  t.equal(status, 0)
  const lines = out.trimEnd().split("\n")
  t.equal(lines.length, 3)
  t.match(lines[0], /^2026-01-\d\d \d\d:00:00 {2}[0-9a-f]{8} {2}gpt-4o {2}429 rate_limit {2}0\.0 s {2}too much$/)
  t.match(lines[1], /gpt-4o \(gpt-4o-2024-08-06\) {2}200 {2}in ~10 out ~5 {2}0\.0 s {2}Say hello\.$/)
  t.match(lines[2], /deepseek-coder \(.*\) {2}→ local {2}200 {2}in 10 out 5 .* Why is the sky blue\?$/)
  t.equal((await run("list --attempts")).out.split("\n").length, 5)
})

test("each filter chooses", async (t) => {
  const { run } = await history(t, sample())
  const models: Record<string, string[]> = {
    "--model deepseek*": ["sky"],
    "--model GPT-4O": ["too much", "hello"],
    "--model *2024-08-06": ["hello", "sky"],
    "--route local": ["sky"],
    "--route direct": ["too much", "hello"],
    "--client alice": ["hello"],
    "--status 429": ["too much"],
    "--status 2xx": ["hello", "sky"],
    "--status error": ["too much"],
    "--status ok": ["hello", "sky"],
    "--search BLUE?": ["sky"],
    "--search Rayleigh": ["sky"],
    "--search Ünicode": ["hello"],
    "--search 100%": [],
    "--since 8.5h": ["too much", "hello"],
    [`--until ${new Date(START + 1.5 * HOUR_MS).toISOString()}`]: ["sky"],
    "--since 2020-01-01 --until now": ["too much", "hello", "sky"],
    "-n 1": ["too much"],
  }
  for (const [args, words] of Object.entries(models)) {
    const { status, out } = await run(args)
    t.equal(status, 0, args)
    const lines = out.split("\n").filter((line) => line !== "")
    t.equal(lines.length, words.length, args)
    for (const [index, word] of words.entries())
      t.ok(lines[index]?.includes(word), `${args}: ${lines[index]} has ${word}`)
  }
})

test("what cannot be read as a filter is a usage error that says what to write", async (t) => {
  const { run } = await history(t, [])
  const wrong: Record<string, RegExp> = {
    "--since soon": /--since soon: write a time such as 2026-01-31/,
    "--status fine": /--status fine: write a status such as 200/,
    "--limit none": /--limit none: write how many flows/,
    "export --format shargpt": /--format shargpt: write one of .*did you mean "sharegpt"/,
    "list x": /history list: takes no "x"/,
    show: /the id is missing/,
    "show 0123": /history show 0123: no flow has this id/,
    shwo: /history shwo: write one of list, show, export, prune, stats; did you mean "show"/,
    prune: /say up to when, for example --until 30d/,
    "prune --until 1d --model x": /deletes by age alone, without --model/,
  }
  for (const [args, message] of Object.entries(wrong)) {
    const { status, err } = await run(args)
    t.equal(status, 2, args)
    t.match(err, message)
  }
})

test("show tells all of one flow, by the end of its id, safe for a terminal", async (t) => {
  const flows = sample()
  const { run } = await history(t, [
    ...flows,
    at(4, {
      messages: [
        user("steal\u001b]0;title\u0007\nmore"),
        {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: '{"a":1}' } }],
        },
      ],
    }),
  ])
  const local = await run(`show ${flows[0]?.id.slice(-8)}`)
  t.match(local.out, /id +[0-9a-f-]{36}\n/)
  t.match(local.out, /request +POST https:\/\/api\.openai\.com\/v1\/chat\/completions\n/)
  t.match(local.out, /route +local: fits\n/)
  t.match(local.out, /tokens +in 10 out 5, as the host says\n/)
  t.match(local.out, /times +head 20 ms, first token 25 ms, all 40 ms\n/)
  t.match(local.out, /attempts\n {2}[0-9a-f]{8} {2}https:\/\/api/)
  t.match(local.out, /\nuser\n {2}Why is the sky blue\?\n\nassistant\n {2}Rayleigh\.\n$/)
  const counted = await run(`show ${flows[2]?.id}`)
  t.match(counted.out, /tokens +in ~10 out ~5, cached 4, counted here\n/)
  t.match((await run(`show ${flows[3]?.id}`)).out, /error +rate_limit: slow\\x1b\[31m down\n/)
  const odd = (await run("list -n 1")).out.slice(21, 29)
  const { out } = await run(`show ${odd}`)
  t.match(out, /steal\\x1b\]0;title\\x07\n {2}more\n/)
  t.match(out, /assistant\n {2}\{"name":"f","arguments":"\{\\"a\\":1\}"\}\n/)
  t.notOk(out.includes("\u001b"))
})

test("stats add up by model and route, and say what stayed local", async (t) => {
  const { run } = await history(t, sample())
  const { out } = await run("stats")
  t.match(out, /^model +route +requests +failed +in +out +cached +reasoning\n/)
  t.match(out, /\ngpt-4o-2024-08-06 +local +1 +0 +10 +5 +0 +0\n/)
  t.match(out, /\ngpt-4o-2024-08-06 +direct +1 +0 +~10 +~5 +4 +0\n/)
  t.match(out, /\ngpt-4o +direct +1 +1 +0 +0 +0 +0\n/)
  t.match(out, /\n3 requests, ~30 tokens\nkept local: ~15 tokens \(50 %\)\nattempts besides: 1\n/)
  t.equal((await run("stats --since 1m")).out, "no flows\n")
})

test("an export takes answers that reached their limit only with --with-truncated", async (t) => {
  const cut = at(0, { answer: "Rayl" })
  const choice = cut.llm?.completion?.choices[0]
  if (choice !== undefined) Object.assign(choice, { finishReason: { unified: "length", raw: "length" } })
  const { run } = await history(t, [cut])
  t.equal((await run("export")).out, "")
  t.match((await run("export --with-truncated")).out, "Rayl")
})

test("an export goes to standard output or to a file, which is replaced when the export is whole", async (t) => {
  const { run, home } = await history(t, sample())
  const { out, err } = await run("export")
  const lines = out
    .trimEnd()
    .split("\n")
    .map((line): unknown => JSON.parse(line))
  t.strictSame(lines, [
    { messages: [user("Why is the sky blue?"), { role: "assistant", content: "Rayleigh." }] },
    { messages: [user("Say hello."), { role: "assistant", content: "Hello, Ünicode!" }] },
  ])
  t.equal(err, "2 exported as openai-jsonl, 1 left out: no answer that ended well\n")
  const written = await run("export --format seed -o set.json --route local")
  t.equal(written.out, "")
  t.strictSame(JSON.parse(await readFile(join(home, "set.json"), "utf8")), [
    { instruction: "Why is the sky blue?", output: "Rayleigh.", tokens: 12, client: "Local LLM" },
  ])
  t.strictSame((await readdir(home)).sort(), [".llmproxy", "set.json"])
  const deeper = await run("export -o sets/new/set.jsonl")
  t.equal(deeper.status, 0)
  t.equal(
    (await readFile(join(home, "sets/new/set.jsonl"), "utf8")).trimEnd().split("\n").length,
    2,
    "its folder is made",
  )
  const failed = await run("export -o set.json/below.jsonl")
  t.equal(failed.status, 1)
  t.match(failed.err, /--output .*set\.json\/below\.jsonl: (EEXIST|ENOTDIR)/)
})

const POSIX = process.platform === "win32" ? { skip: "Windows has no FIFO, and links need rights" } : {}

test(
  "an export goes where the name leads: through a FIFO, behind a link, and not to a link that leads nowhere",
  POSIX,
  async (t) => {
    const { run, home } = await history(t, sample())
    const at = (name: string) => join(home, name)
    makeFifo(home)
    const reading = text(readFifo(at("fifo")))
    t.equal((await run("export -o fifo")).status, 0)
    t.equal((await reading).trimEnd().split("\n").length, 2)
    t.ok((await lstat(at("fifo"))).isFIFO())
    await writeFile(at("real.jsonl"), "old", { mode: 0o640 })
    await symlink("real.jsonl", at("link.jsonl"))
    await symlink("/etc/passwd", at("real.jsonl.part"))
    t.equal((await run("export -o link.jsonl")).status, 0)
    t.ok((await lstat(at("link.jsonl"))).isSymbolicLink())
    t.match(await readFile(at("real.jsonl"), "utf8"), /Rayleigh/)
    t.equal((await stat(at("real.jsonl"))).mode & 0o777, 0o640)
    await symlink("nothing", at("dangling"))
    const refused = await run("export -o dangling")
    t.equal(refused.status, 1)
    t.match(refused.err, /--output .*dangling: it is a link to a file that is not there/)
  },
)

test("an export waits for the reader of a FIFO, and a signal ends it", POSIX, async (t) => {
  const { home } = await history(t, sample())
  const fifo = makeFifo(home)
  const args = ["history", "export", "-o", "fifo", "--confdir", ".llmproxy"]
  const waiting = startCommand(t, args, { folder: home })
  await waiting.printed(/waiting for somebody to read/)
  t.equal((await text(readFifo(fifo))).trimEnd().split("\n").length, 2)
  t.equal((await waiting.outcome).status, 0)
  const nobody = startCommand(t, args, { folder: home })
  await nobody.printed(/waiting for somebody to read/)
  nobody.signal("SIGTERM")
  t.equal((await nobody.outcome).signal, "SIGTERM")
})

test("an export looks every 100 ms whether somebody reads its FIFO, and says once that it waits", POSIX, async (t) => {
  const { home } = await history(t, sample())
  const fifo = makeFifo(home)
  const clock = new ManualClock(START + 10 * HOUR_MS)
  const world = new FakeWorld({ home, cwd: home, clock, env: {} })
  const status = main(["history", "export", "-o", "fifo"], world)
  for (let looks = 1; looks <= 3; looks++) {
    await until(() => clock.pending === 1)
    t.match(world.err.text, /^waiting for somebody to read \S+fifo\n$/)
    clock.advance(99)
    t.equal(clock.pending, 1)
    if (looks < 3) clock.advance(1)
  }
  const reading = text(readFifo(fifo))
  clock.advance(1)
  t.equal(await status, 0)
  t.equal((await reading).trimEnd().split("\n").length, 2)
})

test("the same request is one row, and what a format cannot hold is counted with its reason", async (t) => {
  const audio = [{ role: "user", content: [{ type: "input_audio", input_audio: {} }] }]
  const again = [user("Say hello.")]
  const { run } = await history(t, [
    at(1, { messages: again, answer: "Hello." }),
    at(2, { messages: again, answer: "Hello again." }),
    at(3, { messages: audio }),
    at(4, { messages: [user("Another.")] }),
  ])
  const { out, err } = await run("export")
  t.equal(out.trimEnd().split("\n").length, 2)
  t.match(out, /Hello\./)
  t.notMatch(out, /again/)
  t.equal(
    err,
    "2 exported as openai-jsonl, 1 left out: the same request again, " +
      "1: the format has no place for a part of type input_audio\n",
  )
  t.match((await run("export --format markdown")).out, /input_audio/, "people read it all the same")
})

test("an export to a terminal cannot steer it", async (t) => {
  const { run } = await history(t, [at(1, { messages: [user("a\u009b31mb")] })])
  t.match((await run("export --format markdown", 80)).out, /a\\x9b31mb/)
})

test("a long history is exported whole, page by page, or its latest part", async (t) => {
  const flows = Array.from({ length: 230 }, (_, i) => chat({ start: START + i, messages: [user(`question ${i}`)] }))
  const { run } = await history(t, flows)
  const { out } = await run("export")
  const asked = out
    .trimEnd()
    .split("\n")
    .map((line) => /question \d+/.exec(line)?.[0])
  t.strictSame(
    asked,
    Array.from({ length: 230 }, (_, i) => `question ${i}`),
  )
  const latest = await run("export -n 3")
  t.strictSame(latest.out.match(/question \d+/g), ["question 227", "question 228", "question 229"])
  t.match((await run("list")).err, /the latest 50; --limit shows more/)
})

test("prune deletes up to a time, while a proxy has the file open", async (t) => {
  const { run, writer } = await history(t, sample())
  const { status, out } = await run("prune --until 8.5h")
  t.equal(status, 0)
  t.match(out, /^2 flows deleted, \d\.\d MB given back\n$/)
  t.equal((await run("")).out.split("\n").length, 3)
  await writer.store([at(5)])
  t.equal((await run("")).out.split("\n").length, 4)
  t.match((await run("prune --until 7.5h")).out, /^1 flow deleted, /)
})

test("the room that pruned flows had is the system's again", async (t) => {
  const { run, file, writer } = await history(t, [at(1, { messages: [user("x".repeat(5_000_000))] }), at(2)])
  t.match((await run("prune --until 8.5h")).out, /^1 flow deleted, 5\.\d MB given back\n$/)
  await writer.close()
  const { size } = await stat(file)
  t.ok(size < 2_000_000, `${size} bytes are left`)
})

test("without a history, with a damaged one or a newer one, one line says so", async (t) => {
  const home = await mkdtemp(join(tmpdir(), "llmproxy-history-"))
  t.teardown(() => rm(home, { recursive: true, force: true }))
  for (const args of ["", "prune --until now"]) {
    const { status, err } = await run(home, args)
    t.equal(status, 1)
    t.match(err, /history\.db: there is no history/)
  }
  await writeFile(join(home, "bad.db"), "no database ".repeat(1_000))
  for (const args of ["list --file bad.db", "prune --until now --file bad.db"]) {
    const { status, err } = await run(home, args)
    t.equal(status, 1)
    t.match(err, /bad\.db: is no history, or is damaged/)
  }
  t.match(await readFile(join(home, "bad.db"), "utf8"), /^no database/, "and it is left alone")
  const newer = openSqlite(join(home, "newer.db"))
  await migrate(newer.db, "newer.db", { ...MIGRATIONS, "9999-more": { up: async () => {} } })
  newer.close()
  for (const args of ["list --file newer.db", "prune --until now --file newer.db"]) {
    const { status, err } = await run(home, args)
    t.equal(status, 1)
    t.match(err, /^[^\n]*newer\.db: was written by a newer llmproxy[^\n]*\n$/)
  }
})

test("damage that shows behind the first pages is told in one line, and an export leaves the file that was there", async (t) => {
  const { run, home, file, writer } = await history(t, [at(1, { messages: [user("x".repeat(1_000_000))] })])
  await writer.close()
  const bytes = await readFile(file)
  await writeFile(file, bytes.fill(0xff, bytes.length / 2))
  await writeFile(join(home, "set.jsonl"), "old")
  for (const args of ["export -o set.jsonl", "export", "list --search y", "prune --until now"]) {
    const { status, err } = await run(args)
    t.equal(status, 1, args)
    t.match(err, /^[^\n]*history\.db: is no history, or is damaged \([^\n]*malformed\)[^\n]*\n$/, args)
  }
  t.equal(await readFile(join(home, "set.jsonl"), "utf8"), "old")
  t.strictSame((await readdir(home)).sort(), [".llmproxy", "set.jsonl"], "with nothing beside it")
})
