/** A command line is read as yargs reads it, and what is wrong with it is told. */
import fc from "fast-check"
import { test } from "tap"
import yargs from "yargs"
import { readArguments } from "../../lib/cli/arguments.ts"
import type { Flags } from "../../lib/cli/command.ts"

const FLAGS: Flags = {
  port: { type: "text", alias: "p", value: "PORT", help: "" },
  "log-file": { type: "text", help: "" },
  script: { type: "list", alias: "s", help: "" },
  quiet: { type: "switch", alias: "q", help: "" },
  verbose: { type: "switch", alias: "v", help: "" },
}

const read = async (...argv: string[]) => {
  const { values, words, rest } = readArguments(argv, FLAGS)
  return { values, words, rest }
}

test("flags are read in every plain form", async (t) => {
  t.same(await read("--port", "1"), { values: { port: "1" }, words: [], rest: undefined })
  t.same((await read("--port=1")).values, { port: "1" })
  t.same((await read("-p", "1")).values, { port: "1" })
  t.same((await read("-p1")).values, { port: "1" })
  t.same((await read("-p=1")).values, { port: "1" })
  t.same((await read("-q", "--verbose")).values, { quiet: true, verbose: true })
  t.same((await read("--log-file=")).values, { "log-file": "" }, "an empty value is a value")
})

test("the last of a repeated text counts, all of a list do, in order", async (t) => {
  t.same((await read("-p", "1", "--port", "2")).values, { port: "2" })
  t.same((await read("-s", "a.ts", "--script=b.ts", "-sc.ts")).values, { script: ["a.ts", "b.ts", "c.ts"] })
})

test("what stands behind -- is left alone", async (t) => {
  t.same(await read("-q", "--", "curl", "--port", "--", "-x"), {
    values: { quiet: true },
    words: [],
    rest: ["curl", "--port", "--", "-x"],
  })
  t.same((await read("--")).rest, [])
})

test("words between flags are kept", async (t) => {
  t.same((await read("run", "-q", "-", "x")).words, ["run", "-", "x"])
})

test("letters may be joined, switches negated or told their value", async (t) => {
  t.same((await read("-qv")).values, { quiet: true, verbose: true })
  t.same((await read("-qp", "1")).values, { quiet: true, port: "1" })
  t.same((await read("--quiet", "--no-quiet")).values, { quiet: false })
  t.same((await read("--quiet=true", "--verbose=false")).values, { quiet: true, verbose: false })
  await t.rejects(read("--quiet=1"), {
    message: "--quiet=1: a switch takes no value; write --quiet, or --no-quiet",
  })
  await t.rejects(read("--no-port"), { message: /^--no-port: no such flag/ })
})

test("a flag named like a member of every object is unknown", async (t) => {
  for (const name of ["--constructor", "--__proto__", "--toString=1"]) await t.rejects(read(name), /no such flag/)
})

test("an unknown flag is refused with a suggestion where one is near", async (t) => {
  await t.rejects(read("--prot", "1"), { name: "UsageError", message: '--prot: no such flag; did you mean "--port"?' })
  await t.rejects(read("--zzzzz"), { message: "--zzzzz: no such flag; llmproxy --help lists them" })
  await t.rejects(read("-x"), { message: "-x: no such flag; llmproxy --help lists them" })
  await t.rejects(read("-qx"), { message: "-x: no such flag; llmproxy --help lists them" })
  await t.rejects(read("-qv", "--prot"), { message: '--prot: no such flag; did you mean "--port"?' })
})

test("a flag without its value is refused with how to write it", async (t) => {
  const missing = { name: "UsageError", message: "--port: the value is missing, write --port PORT" }
  await t.rejects(read("--port"), missing)
  await t.rejects(read("-p"), missing)
  await t.rejects(read("--port", "-q"), missing)
  await t.rejects(read("-qp"), missing)
  await t.rejects(read("--script", "--port", "1"), { message: "--script: the value is missing, write --script VALUE" })
  t.same((await read("--port", "-1")).values, { port: "-1" }, "a negative number is a value: the option judges it")
})

test("each plain line is read as yargs reads it", async (t) => {
  const value = fc.constantFrom("1", "a.ts", "x=y", "a b", "conductor.localUrl=http://h:1/v1", "é")
  const piece = fc.oneof(
    fc.tuple(fc.constantFrom("--port", "-p", "--log-file", "--script", "-s"), value),
    fc.tuple(fc.constantFrom("--port", "--log-file", "--script"), value).map(([flag, text]) => [`${flag}=${text}`]),
    fc.constantFrom(["-q"], ["--quiet"], ["--no-quiet"], ["--verbose"], ["-v"], ["-qv"], ["-qp", "7"], ["word"]),
  )
  const line = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.flat())
  await fc.assert(
    fc.asyncProperty(line, async (argv) => {
      const ours = readArguments(argv, FLAGS)
      const other = await byYargs(argv)
      t.same(sorted(ours.values), sorted(other.values), argv.join(" "))
      t.same(ours.words, other.words, argv.join(" "))
    }),
    { numRuns: 200 },
  )
})

async function byYargs(argv: readonly string[]): Promise<{ values: Record<string, unknown>; words: string[] }> {
  const parser = yargs([]).help(false).version(false).exitProcess(false).parserConfiguration({
    "camel-case-expansion": false,
    "duplicate-arguments-array": true,
    "flatten-duplicate-arrays": true,
    "greedy-arrays": false,
    "parse-numbers": false,
    "parse-positional-numbers": false,
    "strip-aliased": true,
  })
  for (const [name, { type, alias }] of Object.entries(FLAGS)) {
    const kind = type === "switch" ? ({ boolean: true } as const) : ({ string: true } as const)
    parser.option(name, { ...kind, ...(alias === undefined ? {} : { alias }) })
  }
  const { _: words, $0: _, ...given } = await parser.parseAsync(argv)
  const values = Object.entries(given).filter(([, value]) => value !== undefined)
  const read = values.map(([name, value]) => [
    name,
    FLAGS[name]?.type === "list" ? [value].flat() : [value].flat().at(-1),
  ])
  return { values: Object.fromEntries(read), words: words.map(String) }
}

function sorted(values: Readonly<Record<string, unknown>>) {
  return Object.entries(values).sort(([a], [b]) => a.localeCompare(b))
}

test("a flag of mitmproxy's, or of Node's, is answered with ours", async (t) => {
  for (const [argv, answer] of [
    [["--listen-port", "8081"], "--listen-port: no flag of llmproxy's: write -p PORT"],
    [["-k"], "-k: no flag of llmproxy's: write --insecure"],
    [["-w", "flows"], "-s history keeps"],
    [["-r", "flows"], "llmproxy history shows"],
    [["-C", "flows"], "there is no replay"],
    [["--map-remote", "|a|b"], "flow.route"],
    [["--modify-body", "/a/b"], "transformDeltas"],
    [["--view-filter=~u x"], "--flow-detail"],
    [["--web"], "there is no page"],
    [["--env-file", ".env.local"], "--dotenv FILE"],
  ] as const)
    await t.rejects(
      read(...argv),
      { name: "UsageError", message: new RegExp(answer.replace(/[.()|]/g, "\\$&")) },
      argv[0],
    )
})
