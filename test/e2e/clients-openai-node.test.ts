/**
 * openai-node through `llmproxy run` and the conductor, streaming and not. Unchanged by its base URL everywhere, and by
 * interception where Node's fetch takes a proxy from the environment; before that, with undici's ProxyAgent.
 */
import { test } from "tap"
import { usesEnvProxy } from "../../lib/cli/node-version.ts"
import { checkChatClient, fixture } from "../helpers/clients/chat-clients.ts"

const isProxied = usesEnvProxy(process.versions.node)

test("openai-node by its base URL, unchanged", async (t) => {
  const { stderr } = await checkChatClient(t, ["node", fixture("openai-chat.mjs")], "base URL")
  t.match(stderr, /base URL http:\/\/127\.0\.0\.1:\d+\/v1\n/)
})

test("openai-node by interception, with undici's ProxyAgent", async (t) => {
  const { stderr } = await checkChatClient(t, ["node", fixture("openai-chat-proxied.mjs")], "interception")
  const hint = /node runs on Node .* set OPENAI_BASE_URL=http:\/\/127\.0\.0\.1:\d+\/v1\n/
  if (isProxied) t.notMatch(stderr, hint)
  else t.match(stderr, hint, "a Node program that may pass by is told how not to")
})

if (isProxied)
  test("openai-node by interception, unchanged", async (t) => {
    await checkChatClient(t, ["node", fixture("openai-chat.mjs")], "interception")
  })
