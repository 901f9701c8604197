/**
 * The rows of Node's clients in the README's table, on a Node whose fetch takes a proxy from the environment; undici,
 * which takes it by itself, on this one.
 */
import { test } from "tap"
import { fixture } from "../helpers/clients/chat-clients.ts"
import { type CommandFor, testRow } from "../helpers/clients/client-cells.ts"
import { furtherFile, furtherFolder, notInstalled, proxiedNode } from "../helpers/clients/further-clients.ts"

const env = furtherFolder === undefined ? {} : { LLMPROXY_TEST_CLIENTS: furtherFolder }
const node = proxiedNode()

const CLIENTS = [
  { name: "Node fetch", client: "fetch" },
  { name: "Node openai", client: "openai" },
  { name: "Node @anthropic-ai/sdk", client: "anthropic" },
  { name: "Node ai", client: "ai" },
] as const

testRow("Node undici, `EnvHttpProxyAgent`", commandOf(process.execPath, "undici"))

for (const { name, client } of CLIENTS) {
  const lacks = node === undefined ? "a Node of 22.21 or later" : lacksAi(client) ? "ai" : undefined
  if (lacks !== undefined || node === undefined)
    test(`${name}: its row of the table`, { skip: notInstalled(lacks ?? "Node") }, async () => {})
  else testRow(name, commandOf(node, client), env)
}

function lacksAi(client: string): boolean {
  return client === "ai" && furtherFile("ai/package.json") === undefined
}

function commandOf(program: string, client: string): CommandFor {
  return (base) => [program, fixture("one-call.mjs"), client, ...(base === undefined ? [] : [base])]
}
