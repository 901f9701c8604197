/** The command as it is installed: compiled, in a process of its own, from a folder that is not the package's. */
import { spawn } from "node:child_process"
import { connect } from "node:net"
import { join } from "node:path"
import { type Test, test } from "tap"
import { openSqlite, singleValue } from "../../lib/store/sqlite.ts"
import { exitsWith, plainEnvironment, startCommand } from "../helpers/command-process.ts"
import { builtCommand } from "../helpers/dist.ts"
import { answer, origin } from "../helpers/hosts/proxy-host.ts"

const COMMAND = builtCommand()

function run(t: Test, args: string[], files: Record<string, string> = {}, env: Record<string, string> = {}) {
  const folder = t.testdir(files)
  return startCommand(t, args, { folder, env })
}

test("--version and --help answer on stdout", async (t) => {
  const version = await run(t, ["--version"]).outcome
  exitsWith(t, 0, version)
  t.match(version.stdout, /^\d+\.\d+\.\d+\n$/)
  const help = await run(t, ["--help"]).outcome
  exitsWith(t, 0, help)
  t.match(help.stdout, /^llmproxy \[options\]\n/)
  t.match(help.stdout, "llmproxy run [options] -- CMD ARGS")
  t.equal(help.stderr, "")
})

test("a usage error is one line, and status 2", async (t) => {
  const outcome = await run(t, ["--prot", "1"]).outcome
  exitsWith(t, 2, outcome)
  t.equal(outcome.stderr, 'llmproxy: --prot: no such flag; did you mean "--port"?\n')
  t.equal(outcome.stdout, "")
})

test("an addon that cannot be loaded is told with file and line, and status 2", async (t) => {
  const broken = { "bad.ts": "export default {\n  name: 'bad',\n  reqest() {},\n}\n" }
  const outcome = await run(t, ["-p", "0", "-s", "bad.ts"], broken).outcome
  exitsWith(t, 2, outcome)
  t.match(outcome.stderr, /^llmproxy: .*bad\.ts:3.*"reqest".*did you mean "request"\?\n$/)
  const syntax = await run(t, ["-p", "0", "-s", "bad.ts"], { "bad.ts": "const a = 1\nconst = 2\n" }).outcome
  exitsWith(t, 2, syntax)
  t.match(syntax.stderr, /^llmproxy: .*bad\.ts:2:/)
})

test("a port in use is one line, and status 1", async (t) => {
  const first = run(t, ["-p", "0"])
  const [, port = ""] = await first.printed(/listening on http:\/\/127\.0\.0\.1:(\d+)/)
  const outcome = await run(t, ["-p", port]).outcome
  exitsWith(t, 1, outcome)
  t.match(outcome.stderr, new RegExp(`^llmproxy: listen on 127\\.0\\.0\\.1:${port}: the port is in use; .*\\n$`))
})

test("a confdir that cannot be written is one line, and status 1", async (t) => {
  const outcome = await run(t, ["-p", "0", "--confdir", "file"], { file: "" }).outcome
  exitsWith(t, 1, outcome)
  t.match(outcome.stderr, /^llmproxy: .*\n$/)
  t.equal(outcome.stderr.split("\n").length, 2)
})

for (const signal of ["SIGTERM", "SIGINT"] as const)
  test(`${signal} ends it with status 0`, async (t) => {
    const command = run(t, ["-p", "0", "-s", "hello"])
    await command.printed(/eval "\$\(llmproxy env -p \d+\)"/)
    command.signal(signal)
    exitsWith(t, 0, await command.outcome)
  })

test("a second signal does not wait for open streams", async (t) => {
  const command = run(t, ["-p", "0"])
  const [, port = ""] = await command.printed(/listening on http:\/\/127\.0\.0\.1:(\d+)/)
  const socket = connect(Number(port), "127.0.0.1")
  socket.on("error", () => {})
  // A request whose body never comes is a stream that is open.
  socket.write(
    "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
  )
  await new Promise((resolve) => socket.once("data", resolve))
  command.signal("SIGTERM")
  await command.printed(/open streams get 10 s/)
  command.signal("SIGTERM")
  exitsWith(t, 0, await command.outcome)
})

test("a signal while a hook waits for ever ends it with status 0, and the flow is in the history", async (t) => {
  const folder = t.testdir({ "waits.ts": "export default { name: 'waits', response: () => new Promise(() => {}) }" })
  const up = await origin(t, (_, socket) => void socket.write(answer("ok")))
  const confdir = join(folder, "conf")
  const set = ["history.all=true", "hookBudgetMs=4000"].flatMap((one) => ["--set", one])
  const args = ["-p", "0", "--confdir", confdir, "-s", "./waits.ts", "-s", "history", ...set]
  const command = startCommand(t, args, { folder, env: {} })
  const [, port = ""] = await command.printed(/listening on http:\/\/127\.0\.0\.1:(\d+)/)
  const client = connect(Number(port), "127.0.0.1")
  client.on("error", () => {})
  client.write(`GET http://127.0.0.1:${up.port}/x HTTP/1.1\r\nHost: x\r\n\r\n`)
  await new Promise((resolve) => client.once("data", resolve))
  client.destroy()
  command.signal("SIGTERM")
  exitsWith(t, 0, await command.outcome)
  const open = openSqlite(join(confdir, "history.db"), { readOnly: true })
  t.equal(singleValue(open.connection, "select count(*) from flows"), 1)
  open.close()
})

test("output that nobody reads does not keep a proxy that was told to end", async (t) => {
  const folder = t.testdir()
  const child = spawn(process.execPath, [COMMAND, "-p", "0", "-v"], { cwd: folder, env: plainEnvironment(folder) })
  t.teardown(() => child.kill("SIGKILL"))
  let said = ""
  const url = await new Promise<string>((resolve) => {
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text
      const found = /listening on (\S+)/.exec(said)?.[1]
      if (found !== undefined) resolve(found)
    })
  })
  child.stdout.pause()
  // A line each, more than a pipe holds.
  for (let i = 0; i < 40; i++) await fetch(`${url}/${"x".repeat(7_000)}`)
  const ended = new Promise((resolve) => child.once("exit", resolve))
  child.kill("SIGTERM")
  t.equal(await ended, 0)
})

test("a reader that goes away does not end the proxy", async (t) => {
  const folder = t.testdir()
  const child = spawn(process.execPath, [COMMAND, "-p", "0"], { cwd: folder, env: plainEnvironment(folder) })
  t.teardown(() => child.kill("SIGKILL"))
  child.stdout.destroy()
  const url = await new Promise<string>((resolve) => {
    let said = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text
      const found = /listening on (\S+)/.exec(said)?.[1]
      if (found !== undefined) resolve(found)
    })
  })
  // Each is refused, and is a line that nobody reads.
  for (let i = 0; i < 3; i++) t.equal((await fetch(`${url}/.llmproxy/none`)).status, 404)
  const ended = new Promise((resolve) => child.once("exit", resolve))
  child.kill("SIGTERM")
  t.equal(await ended, 0)
})

test("run: the program's status and its variables", async (t) => {
  const script = "console.log(process.env.HTTPS_PROXY, process.env.NODE_EXTRA_CA_CERTS); process.exit(9)"
  const outcome = await run(t, ["run", "--", process.execPath, "-e", script]).outcome
  exitsWith(t, 9, outcome)
  t.match(
    outcome.stdout,
    /^http:\/\/127\.0\.0\.1:\d+ \/.*\/\.llmproxy\/llmproxy-ca-cert\.pem\n$/,
    "stdout is the program's",
  )
})

test("demo --once shows the main job and exits with 0", async (t) => {
  const outcome = await run(t, ["demo", "--once"], {}, { OPENAI_BASE_URL: "http://127.0.0.1:1" }).outcome
  exitsWith(t, 0, outcome)
  t.equal(outcome.stdout.match(/^ {2}✓ /gm)?.length, 8)
})

test("without a terminal the demo ends by itself", async (t) => {
  const outcome = await run(t, ["demo"]).outcome
  exitsWith(t, 0, outcome)
  t.match(outcome.stdout, /\nAll 8 requests went as told\.\n$/)
})

test("env prints lines that a shell can evaluate", async (t) => {
  const outcome = await run(t, ["env", "--confdir", "conf dir"]).outcome
  exitsWith(t, 0, outcome)
  t.match(outcome.stdout, /^export SSL_CERT_FILE='.*\/conf dir\/llmproxy-ca-bundle\.pem'$/m)
})
