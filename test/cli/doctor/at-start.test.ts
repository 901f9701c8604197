/** What a start says of the cloud key and the local hosts. */
import { createServer } from "node:net"
import { test } from "tap"
import { cloudKeyState, localHostState } from "../../../lib/cli/doctor/at-start.ts"
import { conductorValues } from "../../../lib/cli/doctor/conductor-values.ts"
import { main } from "../../../lib/cli/main.ts"
import { NO_SOURCES } from "../../../lib/options/sources.ts"
import { ScriptedOrigin } from "../../../lib/testing/origin.ts"
import { localHost } from "../../helpers/conductor-rig.ts"
import { type Answers, answer, LATE, makePatient } from "../../helpers/patient.ts"
import { FakeWorld } from "../../helpers/world.ts"

const KEY = `sk-proj-${"a".repeat(40)}1234`
const OPENAI = { baseUpstream: "https://api.openai.com" }

const stateOf = (env: Record<string, string>, upstream = OPENAI) =>
  cloudKeyState(conductorValues({ ...NO_SOURCES, env }), upstream)

test("of a cloud key its two ends are shown, and where it was given", async (t) => {
  t.equal(stateOf({ OPENAI_API_KEY: KEY }), "sk-…1234 from OPENAI_API_KEY (environment)")
  const set = conductorValues({ ...NO_SOURCES, set: [`conductor.cloudKey=${KEY}`] })
  t.equal(cloudKeyState(set, OPENAI), "sk-…1234 from --set conductor.cloudKey")
  const config = { path: "config.yaml", values: { conductor: { cloudKey: KEY } } }
  t.equal(
    cloudKeyState(conductorValues({ ...NO_SOURCES, config }), OPENAI),
    "sk-…1234 from conductor.cloudKey (config.yaml)",
  )
  t.equal(stateOf({ OPENAI_API_KEY: "sk-short" }), "sk-… from OPENAI_API_KEY (environment)", "too short to show more")
})

test("a key that is none, or not one of OpenAI's, is named as such", async (t) => {
  t.equal(stateOf({}), "none: requests that bring none stay on this machine")
  t.match(stateOf({ OPENAI_API_KEY: "not-needed" }), /^none: what stands in OPENAI_API_KEY .* is a placeholder/)
  t.match(stateOf({ OPENAI_API_KEY: "two words" }), /OPENAI_API_KEY .* holds characters that no key has$/)
  const groq = { OPENAI_API_KEY: `gsk_${"b".repeat(40)}5678` }
  t.match(stateOf(groq), /^gsk_…5678 from .*; it does not look like one of OpenAI's/)
  t.notMatch(stateOf(groq, { baseUpstream: "https://api.groq.com" }), "OpenAI's")
})

test("of a local host its kind, model and context are said, or why there is none", async (t) => {
  const url = "http://127.0.0.1:1234"
  const state = (answers: Answers, set: string[] = []) => {
    const { patient } = makePatient({}, answers)
    return localHostState(patient.ask, url, conductorValues({ ...NO_SOURCES, set }))
  }
  const model = (id: string, more: object = {}) => ({
    id,
    type: "llm",
    state: "loaded",
    max_context_length: 4_096,
    ...more,
  })
  const studio = (...models: object[]) => ({
    [`${url}/v1/models`]: answer({ data: models }),
    [`${url}/api/v0/models`]: answer({ data: models }),
  })
  t.equal(await state(studio(model("coder"))), `${url} LM Studio, coder, context 4096`)
  t.equal(
    await state(studio(model("coder", { state: "not-loaded" }))),
    `${url} LM Studio, coder, context 4096, not loaded yet`,
  )
  const named = ["conductor.localModel=other"]
  t.equal(
    await state(studio(model("coder"), model("other", { max_context_length: 9 })), named),
    `${url} LM Studio, other, context 9`,
  )
  t.equal(await state(studio(model("coder")), named), `${url} LM Studio, no model named other`)
  t.equal(await state({}), `${url} not reached (ECONNREFUSED); llmproxy doctor looks closer`)
  t.match(await state({ [`${url}/v1/models`]: LATE }), /not reached \(no answer within 2 s\)/)
  t.match(
    await state({ [`${url}/v1/models`]: answer("<html>", 404) }),
    /is no model server: GET \/v1\/models gives 404/,
  )
})

test("both are said at the start with the conductor, and nothing without it", async (t) => {
  const origin = await ScriptedOrigin.start(localHost(() => {}))
  t.teardown(() => origin.close())
  const home = t.testdir({ ".env": `OPENAI_API_KEY=${KEY}\nLOCAL_LLM_PORT=${origin.port}\n` })
  const said = async (...argv: string[]) => {
    const world = new FakeWorld({ home, cwd: home })
    const ending = main(["-p", "0", ...argv], world)
    await world.err.until(argv.length > 0 ? "local host" : "shell")
    world.signal("SIGTERM")
    await ending
    return world.err.text
  }
  const text = await said("-s", "conductor")
  t.match(text, / {2}cloud key {15}sk-…1234 from OPENAI_API_KEY \(.*\.env\)\n/)
  const server = `local host              http://127.0.0.1:${origin.port} an OpenAI-compatible server, deepseek-coder-6.7b\n`
  t.match(text, server)
  t.notMatch(text, KEY)
  t.notMatch(await said(), "cloud key")
})

test("a local host that does not answer keeps nobody waiting", async (t) => {
  const silent = createServer().listen(0, "127.0.0.1")
  await new Promise((resolve) => silent.once("listening", resolve))
  t.teardown(() => silent.close())
  const address = silent.address()
  const port = typeof address === "object" ? address?.port : 0
  const home = t.testdir()
  const world = new FakeWorld({ home, cwd: home })
  const ending = main(["-p", "0", "-s", "conductor", "--set", `conductor.localPort=${port}`], world)
  await world.err.until("cloud key")
  const url = /listening on (\S+)/.exec(world.err.text)?.[1]
  t.equal((await fetch(`${url}/.llmproxy/none`)).status, 404, "clients are served")
  world.signal("SIGTERM")
  t.equal(await ending, 0)
})
