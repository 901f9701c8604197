/**
 * Node's clients on a Node whose fetch takes no proxy from the environment: they go past it whatever `run` sets, `run`
 * says so, and their base URL leads them here.
 */
import { test } from "tap"
import { usesEnvProxy } from "../../lib/cli/node-version.ts"
import { fixture } from "../helpers/clients/chat-clients.ts"
import { type Cell, proxyCells, runCells } from "../helpers/clients/client-cells.ts"
import { furtherFile, furtherFolder, notInstalled } from "../helpers/clients/further-clients.ts"

const env = furtherFolder === undefined ? {} : { LLMPROXY_TEST_CLIENTS: furtherFolder }
const program = [process.execPath, fixture("one-call.mjs")]
const noAi = furtherFile("ai/package.json") === undefined && notInstalled("ai")

/** Who takes the base URL from a variable, and who has to be told. */
const CLIENTS = [
  { client: "fetch", lead: '"$HTTPS_PROXY"', skip: false },
  { client: "openai", variable: 'OPENAI_BASE_URL="$HTTPS_PROXY/v1"', lead: "", skip: false },
  { client: "anthropic", variable: 'ANTHROPIC_BASE_URL="$HTTPS_PROXY"', lead: "", skip: false },
  { client: "ai", lead: '"$HTTPS_PROXY"', skip: noAi },
] as const

const BY_BASE_URL: Cell = { name: "base URL" }

if (!usesEnvProxy(process.versions.node))
  for (const { client, lead, skip, ...more } of CLIENTS) {
    test(`${client} goes past the proxy, whatever variable names it`, { skip }, async (t) => {
      const seen = await runCells(t, (base) => [...program, client, base ?? ""], proxyCells(), env)
      for (const [name, { way }] of Object.entries(seen)) t.equal(way, "direct", name)
    })

    test(`${client} is led here by its base URL`, { skip }, async (t) => {
      const line = `${"variable" in more ? more.variable : ""} exec "$@" ${lead}`
      const flags = client === "anthropic" ? ["--base-upstream", "https://api.anthropic.com"] : []
      const command = () => ["sh", "-c", line, "sh", ...program, client]
      const seen = await runCells(t, command, [BY_BASE_URL], env, flags)
      t.same(seen[BY_BASE_URL.name], { way: "proxied", version: "HTTP/1.1" })
    })
  }
