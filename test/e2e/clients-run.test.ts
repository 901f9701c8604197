/**
 * What `llmproxy run` owes the program that it starts, whatever that is: its exit status, its signals, its streams, a
 * NO_PROXY that hides no LLM host, and upgraded connections.
 */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { usesEnvProxy } from "../../lib/cli/node-version.ts"
import { fixture } from "../helpers/clients/chat-clients.ts"
import { exitsWith, missing, runThrough, startCommand } from "../helpers/command-process.ts"
import { proxyFolder, startChatHosts, toPort } from "../helpers/hosts/chat-hosts.ts"
import { startEchoHost } from "../helpers/hosts/upgrade-host.ts"

const noCurl = missing("curl")

test("the exit status is the program's", async (t) => {
  const { folder, flags } = await proxyFolder(t)
  exitsWith(t, 7, await runThrough(t, flags, ["sh", "-c", "exit 7"], { folder }))
})

test("a program that a signal ends gives 128 and the signal's number, as in a shell", async (t) => {
  const { folder, flags } = await proxyFolder(t)
  exitsWith(t, 143, await runThrough(t, flags, ["sh", "-c", "kill -TERM $$"], { folder }))
})

test("a program that is not there gives 127, one that cannot be run 126, in one line", async (t) => {
  const { folder, flags } = await proxyFolder(t)
  const absent = await runThrough(t, ["-q", ...flags], ["no-such-program"], { folder })
  exitsWith(t, 127, absent)
  t.equal(absent.stderr, "llmproxy: run no-such-program: no such program\n")
  await writeFile(join(folder, "text"), "no program", { mode: 0o644 })
  const refused = await runThrough(t, ["-q", ...flags], ["./text"], { folder })
  exitsWith(t, 126, refused)
  t.match(refused.stderr, /^llmproxy: run \.\/text: .*EACCES.*\n$/)
})

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  test(`${signal} goes on to the program, which decides how it ends`, async (t) => {
    const { folder, flags } = await proxyFolder(t)
    const program = `process.on("${signal}", () => { console.log("got it"); process.exit(9) })
      console.log("ready"); setInterval(() => {}, 1_000)`
    const running = startCommand(t, ["run", ...flags, "--", "node", "-e", program], { folder })
    await running.printed(/ready/, "stdout")
    running.signal(signal)
    const outcome = await running.outcome
    exitsWith(t, 9, outcome)
    t.equal(outcome.stdout, "ready\ngot it\n", "once, and nothing of ours on the program's output")
  })

test("standard output and error are the program's own", async (t) => {
  const { folder, flags } = await proxyFolder(t)
  const outcome = await runThrough(t, ["-q", ...flags], ["sh", "-c", "echo out; echo err >&2"], { folder })
  t.equal(outcome.stdout, "out\n")
  t.equal(outcome.stderr, "err\n")
})

test("a program that ends at once ends the proxy at once, and nothing is said of it", async (t) => {
  const { folder, flags } = await startChatHosts(t)
  const { status, stdout, stderr } = await runThrough(t, ["-q", ...flags], ["true"], { folder })
  t.same({ status, stdout, stderr }, { status: 0, stdout: "", stderr: "" })
})

const HIDING = [
  { name: "NO_PROXY", values: ["*", "corp.test,.openai.com"] },
  { name: "no_proxy", values: ["api.openai.com", "openai.com:443,corp.test"] },
]

for (const { name, values } of HIDING)
  test(`${name} hides no LLM host from the proxy, and keeps its other entries`, { skip: noCurl }, async (t) => {
    const { folder, flags } = await startChatHosts(t)
    for (const value of values) {
      const env = { [name]: value }
      const program = 'echo "$NO_PROXY"; echo "$no_proxy"; exec curl -sS https://api.openai.com/v1/models'
      const outcome = await runThrough(t, flags, ["sh", "-c", program], { folder, env })
      exitsWith(t, 0, outcome)
      const kept = value.includes("corp.test") ? "corp.test,localhost,127.0.0.1,::1" : "localhost,127.0.0.1,::1"
      const [upper, lower, answer = ""] = outcome.stdout.split("\n")
      t.same([upper, lower], [kept, kept], `${name}=${value}`)
      t.match(answer, '"object":"list"')
      t.match(outcome.stderr, / {2}GET api\.openai\.com\/v1\/models {2}200/m, "it came through the proxy")
    }
  })

test("a Node program is told of its base URL where its fetch takes no proxy, and no other program is", async (t) => {
  const { folder, flags } = await proxyFolder(t)
  const told = /set OPENAI_BASE_URL=http:\/\/127\.0\.0\.1:\d+\/v1\n/
  await writeFile(join(folder, "tool"), "#!/usr/bin/env node\n", { mode: 0o755 })
  for (const program of [["node", "-e", ""], ["./tool"]]) {
    const { stderr } = await runThrough(t, flags, program, { folder })
    if (usesEnvProxy(process.versions.node)) t.notMatch(stderr, told)
    else t.match(stderr, told, program.join(" "))
  }
  t.notMatch((await runThrough(t, flags, ["true"], { folder })).stderr, told)
  t.notMatch((await runThrough(t, ["-q", ...flags], ["node", "-e", ""], { folder })).stderr, told, "nor with -q")
})

test("a WebSocket passes, with TLS and without: messages both ways, long ones too, and its close", async (t) => {
  const { folder, flags } = await proxyFolder(t)
  const secure = await startEchoHost(t, "echo.test")
  const plain = await startEchoHost(t)
  const connectTo = [...toPort("echo.test", secure), "--connect-to", `echo.test:80:127.0.0.1:${plain}`]
  const messages = ["one", "zwölf ✓", "long ".repeat(2_000)]
  for (const scheme of ["wss", "ws"]) {
    const command = ["node", fixture("websocket.mjs"), `${scheme}://echo.test/socket`, ...messages]
    const outcome = await runThrough(t, [...flags, ...connectTo], command, { folder })
    exitsWith(t, 0, outcome)
    t.same(outcome.stdout.split("\n"), [...messages, "closed 1000 true", ""], scheme)
    t.match(outcome.stderr, / {2}GET echo\.test\/socket {2}101 /m)
  }
})
