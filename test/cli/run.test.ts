/** `llmproxy run`, in this process, with real programs: their variables, their status, and where our lines go. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { type Test, test } from "tap"
import { main } from "../../lib/cli/main.ts"
import { runProgram } from "../../lib/cli/run.ts"
import { FakeWorld, type FakeWorldOptions } from "../helpers/world.ts"

const PATH = process.env.PATH ?? ""

function makeWorld(t: Test, options: FakeWorldOptions = {}): FakeWorld {
  const home = t.testdir({ "status.mjs": "process.exit(Number(process.argv[2]))" })
  return new FakeWorld({ home, cwd: home, env: { PATH }, ...options })
}

/** A program that writes its environment to a file. */
const dump = (file: string) => [
  process.execPath,
  "-e",
  `require("fs").writeFileSync(${JSON.stringify(file)}, JSON.stringify(process.env))`,
]

test("the program's status is ours", async (t) => {
  const world = makeWorld(t)
  t.equal(await main(["run", "-q", "--", process.execPath, "status.mjs", "7"], world), 7)
  t.equal(await main(["run", "-q", "--", process.execPath, "status.mjs", "0"], world), 0)
})

test("a program that a signal ended gives 128 and the signal's number", async (t) => {
  const world = makeWorld(t)
  t.equal(await main(["run", "-q", "--", process.execPath, "-e", "process.kill(process.pid, 'SIGKILL')"], world), 137)
})

test("the program gets the variables, on top of its environment", async (t) => {
  const world = makeWorld(t, { env: { PATH, MINE: "kept", NO_PROXY: "*" } })
  const file = join(world.cwd, "env.json")
  t.equal(await main(["run", "--", ...dump(file)], world), 0)
  const env: Record<string, string> = JSON.parse(readFileSync(file, "utf8"))
  const url = /listening on (\S+), base URL (\S+)/.exec(world.err.text)
  t.equal(env.HTTPS_PROXY, url?.[1])
  t.equal(url?.[2], `${url?.[1]}/v1`)
  t.equal(env.MINE, "kept")
  t.equal(env.NO_PROXY, "localhost,127.0.0.1,::1")
  t.equal(env.NODE_EXTRA_CA_CERTS, join(world.home, ".llmproxy", "llmproxy-ca-cert.pem"))
  t.equal(env.OPENAI_BASE_URL, undefined, "interception is enough; a base URL would redirect other hosts' clients")
  t.equal(world.out.text, "", "stdout is the program's")
})

test("the port is free, whatever the environment says, unless -p names one", async (t) => {
  const world = makeWorld(t, { env: { PATH, LLMPROXY_PORT: "1" } })
  t.equal(
    await main(["run", "--", process.execPath, "status.mjs", "0"], world),
    0,
    "port 1 could not be opened, or is not ours",
  )
  t.notMatch(world.err.text, "127.0.0.1:1,")
  t.equal(await main(["run", "-p", "x", "--", process.execPath, "status.mjs", "0"], world), 2)
})

test("--log-file takes what the proxy has to say", async (t) => {
  const world = makeWorld(t)
  t.equal(await main(["run", "--log-file", "proxy.log", "--", process.execPath, "status.mjs", "0"], world), 0)
  t.equal(world.err.text, "")
  t.match(readFileSync(join(world.cwd, "proxy.log"), "utf8"), /^llmproxy listening on /m)
  t.equal(await main(["run", "--log-file", "gone/x.log", "--", "true"], world), 1)
  t.match(world.err.text, /^llmproxy: --log-file .*gone\/x\.log: ENOENT/)
})

test("a Node program on a Node without NODE_USE_ENV_PROXY is told the base URL", async (t) => {
  const old = makeWorld(t, { nodeVersion: "20.20.2" })
  t.equal(await main(["run", "--", process.execPath, "status.mjs", "0"], old), 0)
  const hint =
    /^node runs on Node 20\.20\.2, whose fetch ignores HTTPS_PROXY \(22\.21 and 24 honour it\); if its calls do not show up, set OPENAI_BASE_URL=http:\/\/127\.0\.0\.1:\d+\/v1$/m
  t.match(old.err.text, hint)
  const anthropic = makeWorld(t, { nodeVersion: "20.20.2" })
  const upstream = ["--base-upstream", "https://api.anthropic.com"]
  t.equal(await main(["run", ...upstream, "--", process.execPath, "status.mjs", "0"], anthropic), 0)
  t.match(anthropic.err.text, /, set ANTHROPIC_BASE_URL=http:\/\/127\.0\.0\.1:\d+$/m)
  const current = makeWorld(t, { nodeVersion: "24.22.1" })
  t.equal(await main(["run", "--", process.execPath, "status.mjs", "0"], current), 0)
  t.notMatch(current.err.text, "ignores HTTPS_PROXY")
})

test("signals are passed on; a terminal's Ctrl-C is not, because it has reached the program already", async (t) => {
  const wait = ["-e", "setInterval(() => {}, 1000)"]
  const signalled = async (options: FakeWorldOptions, ...signals: NodeJS.Signals[]) => {
    const world = makeWorld(t, options)
    const ending = runProgram(process.execPath, wait, {}, world)
    for (const signal of signals) world.signal(signal)
    return await ending
  }
  t.equal(await signalled({}, "SIGTERM"), 143)
  t.equal(await signalled({}, "SIGINT"), 130)
  t.equal(await signalled({ columns: 80 }, "SIGINT", "SIGHUP"), 129)
})

test("variables can be taken away", async (t) => {
  const world = makeWorld(t, { env: { PATH, GONE: "1" } })
  const check = ["-e", "process.exit(process.env.GONE === undefined ? 5 : 6)"]
  t.equal(await runProgram(process.execPath, check, { GONE: undefined }, world), 5)
})

test("a program that is not there, or cannot be run, gives what shells give", async (t) => {
  const world = makeWorld(t)
  t.equal(await main(["run", "-q", "--", "no-such-program-here"], world), 127)
  t.equal(world.err.text, "llmproxy: run no-such-program-here: no such program\n")
  t.equal(await main(["run", "-q", "--", "./status.mjs"], world), 126)
  t.match(world.err.text, /run \.\/status\.mjs: spawn .*EACCES\n$/)
})

test("without a program there is nothing to run", async (t) => {
  for (const argv of [["run"], ["run", "-q", "--"]]) {
    const world = makeWorld(t)
    t.equal(await main(argv, world), 2)
    t.equal(world.err.text, "llmproxy: run: what to run stands behind --, as in llmproxy run -- curl URL\n")
  }
})
