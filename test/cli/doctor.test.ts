/** `llmproxy doctor` as a whole: what it prints, its exit status, and where it reads its options. */

import type { AddressInfo } from "node:net"
import { createServer } from "node:net"
import { join } from "node:path"
import { test } from "tap"
import { examine, findingText, tryListening } from "../../lib/cli/doctor.ts"
import { main } from "../../lib/cli/main.ts"
import { PLAIN } from "../../lib/cli/terminal/paint.ts"
import { ScriptedOrigin } from "../../lib/testing/origin.ts"
import { jsonReply } from "../helpers/hosts/chat-replies.ts"
import { makePatient } from "../helpers/patient.ts"
import { sharedCertificates, startOrigin } from "../helpers/test-proxy.ts"
import { FakeWorld } from "../helpers/world.ts"

test("a healthy machine exits with 0", async (t) => {
  const world = new FakeWorld()
  t.equal(await examine(makePatient().patient, world, PLAIN), 0)
  t.match(world.out.text, /^✓ Node 24\.22\.1\n✓ port 8080 of 127\.0\.0\.1 is free\n– no CA yet/)
  t.match(world.out.text, /\nNothing is broken\.\n$/)
})

test("a broken one exits with 1, and says how much", async (t) => {
  const world = new FakeWorld()
  t.equal(await examine(makePatient({ env: { NO_PROXY: "*" } }).patient, world, PLAIN), 1)
  t.match(world.out.text, /✗ NO_PROXY hides .*\n {2}→ remove them/)
  t.match(world.out.text, /\n1 thing is broken\.\n$/)
  const worse = makePatient({ env: { NO_PROXY: "*" }, listens: async () => "EACCES" })
  t.equal(await examine(worse.patient, world, PLAIN), 1)
  t.match(world.out.text, /\n2 things are broken\.\n$/)
})

test("what others said cannot steer the terminal", async (t) => {
  const finding = { mark: "bad", text: "\u001b[2J", fix: "\u0007" } as const
  t.equal(findingText(finding, PLAIN, undefined), "✗ \\x1b[2J\n  → \\x07\n")
})

test("a finding is broken between words where the terminal ends", async (t) => {
  const finding = { mark: "note", text: "one two three", fix: "four five six" } as const
  t.equal(findingText(finding, PLAIN, 10), "– one two\n  three\n  → four\n  five six\n")
})

test("keys, hosts and limits are read where the conductor reads them", async (t) => {
  const origin = await ScriptedOrigin.start(jsonReply("H"))
  t.teardown(() => origin.close())
  const home = t.testdir({ ".env": `OPENAI_API_KEY=sk-fromthefile123\nLOCAL_LLM_PORT=${origin.port}\n` })
  const world = new FakeWorld({ home, cwd: home, env: {} })
  const base = `http://127.0.0.1:${origin.port}`
  t.equal(await main(["doctor", "-p", "0", "--base-upstream", base], world), 1)
  t.match(world.out.text, `✗ ${base} is no model server: GET /v1/models gives 200`)
  t.match(world.out.text, `✓ ${base} takes the cloud key`)
  t.notMatch(world.out.text, "fromthefile")
  const keys = origin.requests
    .map(({ head }) => /authorization: (.*)/i.exec(head)?.[1])
    .filter((key) => key !== undefined)
  t.same(keys, ["Bearer sk-fromthefile123"], "and the local host never gets it")
})

test("LOCAL_LLM_HOST may be a name, a name alone, or a URL; localUrl wins", async (t) => {
  const home = t.testdir()
  const told = async (env: Record<string, string>, ...argv: string[]) => {
    const world = new FakeWorld({ home, cwd: home, env })
    await main(["doctor", "-p", "0", ...argv], world)
    return /^. (http:\/\/\S+) does not answer/m.exec(world.out.text)?.[1]
  }
  t.equal(await told({ LOCAL_LLM_HOST: "127.0.0.1", LOCAL_LLM_PORT: "1" }), "http://127.0.0.1:1")
  t.equal(await told({ LOCAL_LLM_HOST: "http://127.0.0.1:1" }), "http://127.0.0.1:1")
  t.equal(await told({ LOCAL_LLM_HOST: "a.invalid" }), "http://a.invalid:1234")
  t.equal(
    await told({ LOCAL_LLM_PORT: "9" }, "--set", "conductor.localUrl=http://127.0.0.1:2/v1"),
    "http://127.0.0.1:2",
  )
})

test("hosts are asked by --connect-to and trusted by --upstream-ca, and each of localUrls is looked at", async (t) => {
  const cloud = await startOrigin(t, jsonReply("H"), "llm.test")
  const home = t.testdir({ "ca.pem": (await sharedCertificates()).ca })
  const world = new FakeWorld({ home, cwd: home, env: { OPENAI_API_KEY: "sk-0123456789abcdef" } })
  const connectTo = ["--connect-to", `llm.test:443:127.0.0.1:${cloud.port}`]
  const flags = ["-p", "0", "--base-upstream", "https://llm.test", ...connectTo]
  const local = ["--set", "conductor.localUrls=http://127.0.0.1:1,http://127.0.0.1:2"]
  t.equal(await main(["doctor", ...flags, "--upstream-ca", join(home, "ca.pem"), ...local], world), 1)
  t.match(world.out.text, "✓ https://llm.test takes the cloud key")
  for (const port of [1, 2]) t.match(world.out.text, `✗ http://127.0.0.1:${port} does not answer`)
  const without = new FakeWorld({ home, cwd: home, env: { OPENAI_API_KEY: "sk-0123456789abcdef" } })
  t.equal(await main(["doctor", ...flags], without), 1)
  t.match(
    without.out.text,
    /✗ https:\/\/llm\.test does not answer: \S+\n {2}→ trust its issuer with --upstream-ca FILE/,
  )
})

test("listening for a moment tells whether one could", async (t) => {
  const server = createServer().listen(0, "127.0.0.1")
  await new Promise((resolve) => server.once("listening", resolve))
  const { port } = server.address() as AddressInfo
  t.equal(await tryListening("127.0.0.1", port), "EADDRINUSE")
  await new Promise((resolve) => server.close(resolve))
  t.equal(await tryListening("127.0.0.1", port), "free")
})
