/** The demo's cloud, from source: a host that speaks TLS as api.openai.com, with a CA that nobody else trusts. */
import { readdirSync, readFileSync } from "node:fs"
import { request } from "node:https"
import { join } from "node:path"
import { json } from "node:stream/consumers"
import { type Test, test } from "tap"
import { CLOUD_SCRIPT } from "../../../lib/cli/demo/host.ts"
import { DemoChild, demoEnvironment, OWN_BUILD } from "../../../lib/cli/demo/processes.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"

function cloudIn(t: Test, cwd: string, ...args: string[]): DemoChild {
  const place = { build: OWN_BUILD, env: demoEnvironment(process.env), cwd, clock: new ManualClock() }
  const cloud = new DemoChild("cloud", args, place)
  t.teardown(() => cloud.stop())
  return cloud
}

/** The JSON that it answers to a chat; `ca`: what is trusted. */
function ask(port: number, servername: string, ca: string | undefined): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const options = { port, host: "127.0.0.1", servername, method: "POST", path: "/v1/chat/completions" }
    request({ ...options, ...(ca === undefined ? {} : { ca }) }, (response) => resolve(json(response)))
      .on("error", reject)
      .end(JSON.stringify({ model: "gpt-4o", messages: [] }))
  })
}

test("it answers as api.openai.com who trusts its CA, and tells what it was asked", async (t) => {
  const folder = t.testdir()
  const cloud = cloudIn(t, folder, join(folder, "conf"))
  const { port } = await cloud.next("ready")
  const ca = readFileSync(join(folder, "conf", "llmproxy-ca-cert.pem"), "utf8")
  const seen = cloud.next("seen")
  t.match(await ask(port, "api.openai.com", ca), { choices: [{ message: { content: CLOUD_SCRIPT.answer } }] })
  t.match(await seen, { host: "cloud", path: "/v1/chat/completions", key: false })
  await t.rejects(ask(port, "api.openai.com", undefined), "nobody else trusts it")
  await t.rejects(ask(port, "api.anthropic.com", ca), { code: "ERR_TLS_CERT_ALTNAME_INVALID" }, "it is no other host")
})

test("without a folder for its CA it makes none where it was started, and ends", async (t) => {
  const folder = t.testdir()
  await t.rejects(cloudIn(t, folder).next("ready"), { message: "demo: cloud ended with status 0: " })
  t.strictSame(readdirSync(folder), [])
})
