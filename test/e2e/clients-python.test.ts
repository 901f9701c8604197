/**
 * Python's clients through `llmproxy run` and the conductor, unchanged, streaming and not: urllib, requests and
 * openai-python. The interpreter is LLMPROXY_TEST_PYTHON, or the first usual one that has the client.
 */
import { test } from "tap"
import { checkChatClient, fixture, WAYS } from "../helpers/clients/chat-clients.ts"
import { interpreterWith, noInterpreter } from "../helpers/clients/python.ts"

const CLIENTS = [
  { name: "urllib", module: "urllib.request", file: "urllib_chat.py" },
  { name: "requests", module: "requests", file: "requests_chat.py" },
  { name: "openai-python", module: "openai", file: "openai_chat.py" },
]

for (const { name, module, file } of CLIENTS) {
  const python = interpreterWith(module)
  const skip = python === undefined && noInterpreter(module)
  for (const way of WAYS)
    test(`${name} by ${way}, unchanged`, { skip }, async (t) => {
      // Without -B, Python would write its cache beside the fixtures.
      await checkChatClient(t, [python ?? "", "-B", fixture(file)], way)
    })
}
