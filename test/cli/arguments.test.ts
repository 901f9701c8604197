/** A command line is read the same by our reader and by yargs, and what is wrong with it is told. */
import fc from "fast-check"
import { test } from "tap"
import { readArguments, readPlain } from "../../lib/cli/arguments.ts"
import { readWithYargs } from "../../lib/cli/arguments-yargs.ts"
import type { Flags } from "../../lib/cli/command.ts"

const FLAGS: Flags = {
  port: { type: "text", alias: "p", value: "PORT", help: "" },
  "env-file": { type: "text", help: "" },
  script: { type: "list", alias: "s", help: "" },
  quiet: { type: "switch", alias: "q", help: "" },
  verbose: { type: "switch", alias: "v", help: "" },
}

const read = async (...argv: string[]) => {
  const { values, words, rest } = await readArguments(argv, FLAGS)
  return { values, words, rest }
}

test("flags are read in every plain form", async (t) => {
  t.same(await read("--port", "1"), { values: { port: "1" }, words: [], rest: undefined })
  t.same((await read("--port=1")).values, { port: "1" })
  t.same((await read("-p", "1")).values, { port: "1" })
  t.same((await read("-p1")).values, { port: "1" })
  t.same((await read("-p=1")).values, { port: "1" })
  t.same((await read("-q", "--verbose")).values, { quiet: true, verbose: true })
  t.same((await read("--env-file=")).values, { "env-file": "" }, "an empty value is a value")
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

test("joined letters and negated switches are left to yargs", async (t) => {
  for (const argv of [["-qv"], ["--no-quiet"], ["--quiet=true"]]) t.equal(readPlain(argv, FLAGS), undefined)
  t.same((await read("-qv")).values, { quiet: true, verbose: true })
  t.same((await read("-qp", "1")).values, { quiet: true, port: "1" })
  t.same((await read("--quiet", "--no-quiet")).values, { quiet: false })
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

test("our reader and yargs read each plain line alike", async (t) => {
  const value = fc.constantFrom("1", "a.ts", "x=y", "a b", "conductor.localUrl=http://h:1/v1", "é")
  const piece = fc.oneof(
    fc.tuple(fc.constantFrom("--port", "-p", "--env-file", "--script", "-s"), value),
    fc.tuple(fc.constantFrom("--port", "--env-file", "--script"), value).map(([flag, text]) => [`${flag}=${text}`]),
    fc.constantFrom(["-q"], ["--quiet"], ["--verbose"], ["-v"], ["word"]),
  )
  const line = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.flat())
  await fc.assert(
    fc.asyncProperty(line, async (argv) => {
      const plain = readPlain(argv, FLAGS)
      t.ok(plain)
      const other = await readWithYargs(argv, FLAGS)
      if (JSON.stringify(sorted(plain)) !== JSON.stringify(sorted(other)))
        throw new Error(JSON.stringify([plain, other]))
    }),
    { numRuns: 200 },
  )
})

function sorted(read: ReturnType<typeof readPlain>) {
  return { words: read?.words, values: Object.entries(read?.values ?? {}).sort(([a], [b]) => a.localeCompare(b)) }
}
