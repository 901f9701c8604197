/** What an addon's hook throws names the line of its source, whatever was freed or reloaded meanwhile. */
import { spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { makeLogger } from "../../lib/base/log.ts"
import { describeFailure, type LoadedAddon, reportFailure } from "../../lib/loader/chain.ts"

/** tap maps stacks itself, so the hooks run in a process without it. */
function told(file: string): string {
  const args = ["--import=./test/typescript/register.mjs", "--conditions=llmproxy-source", "--expose-gc"]
  const { stdout, stderr } = spawnSync(process.execPath, [...args, "test/fixtures/loader/positions.ts", file], {
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: "" },
  })
  return stdout + stderr
}

test("a hook's error names its own line, after a collection of garbage and beside another version", async (t) => {
  const folder = t.testdir()
  const file = join(folder, "a.ts")
  const lines = [
    'import { defineAddon } from "llmproxy"',
    "interface Typed {",
    "  readonly a: number",
    "}",
    "const typed: Typed = { a: 1 }",
    "export async function running() {",
    "  if (typed.a === 2) defineAddon({})",
    "  throw new Error('here')",
    "}",
  ]
  writeFileSync(file, lines.join("\n"))
  const places = told(file).match(/here \(.*\)/g)
  t.match(places?.[0], /a\.ts:8:9\)$/)
  t.match(places?.at(-2), /a\.ts:11:9\)$/, "the new version's")
  t.match(places?.at(-1), /a\.ts:8:9\)$/, "the old version's")
})

const ADDON: LoadedAddon = {
  name: "a",
  onError: "continue",
  reads: undefined,
  hold: false,
  hooks: {},
  file: undefined,
}

test("what caused an error is told with it", async (t) => {
  const refused = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:9"), { code: "ECONNREFUSED" })
  const said = (error: unknown) => describeFailure(ADDON, "request", error).replace(/ \([^)]*\)$/, "")
  const start = 'addon "a": request failed: '
  t.equal(said(new TypeError("fetch failed", { cause: refused })), `${start}fetch failed: ${refused.message}`)
  const several = new AggregateError([Object.assign(new Error(""), { code: "ETIMEDOUT" })], "")
  t.equal(said(new TypeError("fetch failed", { cause: several })), `${start}fetch failed: ETIMEDOUT`)
  t.equal(said(new Error("x: inner", { cause: new Error("inner") })), `${start}x: inner`, "said once")
  const round = new Error("round")
  round.cause = round
  t.equal(said(round), `${start}round`)
})

test("the stack is told to who asks for debug messages", async (t) => {
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`), "debug")
  reportFailure(log, ADDON, "request", new Error("boom"))
  t.match(lines[0], /^error addon "a": request failed: boom \(test\/loader\/positions\.test\.ts:\d+:\d+\)$/)
  t.match(lines.slice(1).join("\n"), /^debug Error: boom\ndebug +at .*loader.positions/)
})
