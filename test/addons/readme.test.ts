/** The addons that docs/addons.md begins with, run as they are printed, and hello.ts. */
import { readdirSync, readFileSync } from "node:fs"
import { test } from "tap"
import { SHIPPED_ADDONS } from "../../addons/index.ts"
import type { AddonDefinition } from "../../lib/api/addon.ts"
import { CHAT_PATH, CLOUD as CLOUD_HOST, chatBody, sentTo, startRig } from "../helpers/conductor-rig.ts"
import { addon, chatEvent, chatJson, DONE, FINISH, jsonAnswer, sseAnswer, until } from "../helpers/hosts/proxy-host.ts"
import { startSocketHost } from "../helpers/hosts/websocket-host.ts"
import { always } from "../helpers/test-proxy.ts"

const FOLDER = "test/fixtures/readme-addons"
const USAGE = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 }
const CLOUD = always(jsonAnswer(chatJson("hi", { usage: USAGE })).toString())
const key = (name: string) => `Authorization: Bearer sk-${name}\r\n`

test("refuse a model: the client gets an error that its SDK reads, and nobody else is asked", async (t) => {
  const rig = await startRig(t, { cloud: CLOUD, scripts: [`${FOLDER}/refuse-model.ts`] })
  const refused = await rig.chat({ model: "gpt-5-pro" }, key("a"))
  t.equal(refused.status, 403)
  t.match(JSON.parse(refused.text).error, { code: "model_not_allowed", message: /^gpt-5-pro is not for this project/ })
  t.equal(rig.cloud.requests.length, 0)
  t.equal((await rig.chat({}, key("a"))).status, 200)
})

test("add a system prompt: in front of the messages, or after the one that is there", async (t) => {
  const rig = await startRig(t, { cloud: CLOUD, scripts: [`${FOLDER}/add-system-prompt.ts`] })
  await rig.chat({}, key("a"))
  const user = { role: "user", content: "Say hello." }
  t.strictSame(
    sentTo(rig.cloud, CHAT_PATH),
    chatBody({ messages: [{ role: "system", content: "Answer in British English." }, user] }),
  )
  await rig.chat({ messages: [{ role: "system", content: "Be brief." }, user] }, key("a"))
  t.match(sentTo(rig.cloud, CHAT_PATH), { messages: [{ content: "Be brief.\n\nAnswer in British English." }, user] })
  const raw = { model: "gpt-3.5-turbo-instruct", prompt: "x" }
  await rig.ask("POST", "/v1/completions", raw, key("a"))
  t.strictSame(sentTo(rig.cloud, "/v1/completions"), raw)
})

test("count tokens per user: one sum for each credential, which is not shown", async (t) => {
  const rig = await startRig(t, { cloud: CLOUD, scripts: [`${FOLDER}/count-tokens.ts`] })
  for (const user of ["alice", "alice", "bob"]) await rig.chat({}, key(user))
  await until(() => rig.lines.length >= 3)
  const sums = rig.lines.flatMap((line) => /count-tokens: (key-\w+): (\d+) tokens/.exec(line)?.slice(1) ?? [])
  t.equal(sums.length, 6)
  const [first, ten, second, twenty, other, bob] = sums
  t.strictSame([ten, twenty, bob], ["10", "20", "10"])
  t.equal(first, second)
  t.not(first, other)
  t.notMatch(rig.lines.join(), /alice|bob/)
})

test("count tokens per user: a stream that does not say what it cost is counted", async (t) => {
  const cloud = always(sseAnswer(chatEvent("one two three"), FINISH, DONE).toString())
  const rig = await startRig(t, { cloud, scripts: [`${FOLDER}/count-tokens.ts`] })
  await rig.chat({ stream: true }, key("a"))
  // The client has its last byte, and leaves, before the answer is counted.
  await until(() => rig.lines.length > 0)
  t.match(rig.lines.join("\n"), /count-tokens: key-\w+: [1-9]\d* tokens/)
})

test("change a WebSocket's messages: the client's texts, and nothing else", async (t) => {
  const { default: spelling } = await import("../fixtures/readme-addons/american-spelling.ts")
  const { websocketMessage } = spelling
  if (websocketMessage === undefined) throw new Error("the addon has no such hook")
  const host = await startSocketHost(t, {
    addons: [addon("american-spelling", { websocketMessage })],
    serve: (socket) => socket.on("message", (text) => socket.send(`${text}, a colour`)),
  })
  const client = await host.client()
  client.socket.send("one colour")
  t.equal(await client.next(), "one color, a colour")
})

test("hello says what an answer cost", async (t) => {
  const rig = await startRig(t, { cloud: CLOUD, scripts: ["addons/hello.ts"] })
  await rig.chat({}, key("a"))
  t.match(rig.lines, [/info hello: Hello! Answer 1 came from up: 7 tokens in, 3 out$/])
})

test("hello names the model that was asked where an answer names none, and leaves out what another addon asks", async (t) => {
  const asksFirst: AddonDefinition = {
    name: "asks-first",
    async llmRequest(flow) {
      if (flow.parent !== undefined) return
      const answer = await flow.send({ json: flow.llm.request.body }, { url: `https://${CLOUD_HOST}${CHAT_PATH}` })
      await answer.completion
    },
  }
  const cloud = always(jsonAnswer(chatJson("hi", { model: undefined, usage: USAGE })).toString())
  const rig = await startRig(t, { cloud, scripts: ["addons/hello.ts"], builtin: [asksFirst] })
  await rig.chat({ model: "gpt-4o" }, key("a"))
  await until(() => rig.lines.length > 0)
  t.equal(rig.cloud.requests.length, 2)
  t.match(rig.lines, [/Answer 1 came from gpt-4o: 7 tokens in, 3 out$/])
  t.equal(rig.lines.length, 1)
})

test("every shipped addon is in the list, and what is in the list is there", (t) => {
  const files = readdirSync("addons").filter((name) => name.endsWith(".ts") && name !== "index.ts")
  t.strictSame(SHIPPED_ADDONS.map(({ name }) => `${name}.ts`).sort(), files.sort())
  t.end()
})

test("docs/addons.md prints these addons as they are", (t) => {
  const readme = readFileSync("docs/addons.md", "utf8")
  for (const name of readdirSync(FOLDER)) {
    const text = readFileSync(`${FOLDER}/${name}`, "utf8")
    const indented = text.replace(/^(?=.)/gm, "    ")
    t.ok(readme.includes(text) || readme.includes(indented), name)
  }
  t.end()
})
