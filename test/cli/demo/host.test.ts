/** The simulated hosts answer as OpenAI's endpoints do: the openai package is the judge. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import OpenAI from "openai"
import { type Test, test } from "tap"
import { CLOUD_SCRIPT, hostListener, LOCAL_SCRIPT } from "../../../lib/cli/demo/host.ts"
import type { Seen } from "../../../lib/cli/demo/messages.ts"

async function serve(t: Test, script = LOCAL_SCRIPT) {
  const seen: Seen[] = []
  const server = createServer(hostListener(script, (one) => seen.push(one))).listen(0, "127.0.0.1")
  await new Promise((resolve) => server.once("listening", resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, seen, openai: new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-x", maxRetries: 0 }) }
}

const messages = [{ role: "user" as const, content: "Hi" }]

test("models, chats and completions, streamed and not", async (t) => {
  const { openai, seen } = await serve(t)
  const { model, answer } = LOCAL_SCRIPT
  t.same(
    (await openai.models.list()).data.map(({ id }) => id),
    [model],
  )
  t.equal(seen.length, 0, "a list of models is no prompt")
  const chat = await openai.chat.completions.create({ model: "m", messages })
  t.equal(chat.choices[0]?.message.content, answer)
  t.equal((await openai.completions.create({ model: "m", prompt: "Hi" })).choices[0]?.text, answer)
  let text = ""
  let usage: unknown
  for await (const chunk of await openai.chat.completions.create({ model: "m", messages, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? ""
    usage = chunk.usage ?? usage
  }
  t.equal(text, answer)
  t.match(usage, { completion_tokens: answer.split(" ").length })
  text = ""
  for await (const chunk of await openai.completions.create({ model: "m", prompt: "Hi", stream: true }))
    text += chunk.choices[0]?.text ?? ""
  t.equal(text, answer)
  t.same(
    seen.map(({ path }) => path),
    ["chat/", "", "chat/", ""].map((kind) => `/v1/${kind}completions`),
  )
})

test("what came is told: its size, its hash, and whether a key was with it", async (t) => {
  const { url, seen } = await serve(t, CLOUD_SCRIPT)
  const post = (headers: Record<string, string>) =>
    fetch(`${url}/v1/chat/completions`, { method: "POST", body: "no json", headers })
  t.equal((await post({})).status, 200, "it understands nothing, and answers")
  await post({ authorization: "Bearer x" })
  t.match(seen, [{ kind: "seen", host: "cloud", path: "/v1/chat/completions", bytes: 7, key: false }, { key: true }])
  t.equal(seen[0]?.sha256, seen[1]?.sha256)
  t.match(seen[0]?.sha256, /^[0-9a-f]{64}$/)
})

test("another path is not found, in OpenAI's words", async (t) => {
  const { url, seen } = await serve(t)
  for (const [method, path] of [
    ["GET", "/"],
    ["POST", "/v1/embeddings"],
    ["GET", "/v1/completions"],
  ] as const) {
    const answer = await fetch(url + path, { method })
    t.equal(answer.status, 404)
    t.match(await answer.json(), { error: { code: "not_found" } })
  }
  t.same(seen, [])
})

test("a client that leaves does not end the host", async (t) => {
  const { url, openai } = await serve(t)
  const abort = new AbortController()
  const stream = await openai.chat.completions.create({ model: "m", messages, stream: true }, { signal: abort.signal })
  for await (const _ of stream) abort.abort()
  const body = new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from("half")) })
  const leaving = new AbortController()
  const asked = fetch(`${url}/v1/completions`, {
    method: "POST",
    body,
    duplex: "half",
    signal: leaving.signal,
  } as RequestInit)
  leaving.abort()
  await t.rejects(asked)
  t.equal((await openai.models.list()).data.length, 1)
})
