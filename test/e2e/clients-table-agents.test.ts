/**
 * The rows of Claude Code and Codex in the README's table, where they are installed: they are too large for every run
 * of the tests. A script answers, the key is none, and every name but the two APIs' leads to a host that proves to be
 * none of it; further traffic is switched off where there is a switch.
 */
import { pass } from "tap"
import { type CommandFor, testRow } from "../helpers/clients/client-cells.ts"
import { furtherFile } from "../helpers/clients/further-clients.ts"

const claude = furtherFile(`@anthropic-ai/claude-code-${process.platform}-${process.arch}/claude`)
const codex = furtherFile("@openai/codex/bin/codex.js")
const KEY = "test-0123456789abcdef0123456789abcdef"

const CLAUDE_ENV = {
  ANTHROPIC_API_KEY: `sk-ant-${KEY}`,
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  CLAUDE_CODE_MAX_RETRIES: "0",
}

// A file without a test would count as one that was skipped.
if (claude === undefined) pass("not installed: @anthropic-ai/claude-code")
else testRow("Claude Code", claudeAt(claude), CLAUDE_ENV)

if (codex === undefined) pass("not installed: @openai/codex")
else testRow("Codex", codexAt(codex), { OPENAI_API_KEY: `sk-${KEY}`, CODEX_API_KEY: `sk-${KEY}` })

/** It takes the API's place from a variable. */
function claudeAt(program: string): CommandFor {
  return (base) => {
    const place = base === undefined ? [] : ["env", `ANTHROPIC_BASE_URL=${base}`]
    return [...place, program, "-p", "Hi"]
  }
}

/** It takes the API's place from its settings; there without WebSocket, so that one answer ends the call. */
function codexAt(program: string): CommandFor {
  return (base) => {
    const provider = `model_providers.test={name="test",base_url="${base}/v1",env_key="OPENAI_API_KEY",wire_api="responses",supports_websockets=false,request_max_retries=0,stream_max_retries=0}`
    const place = base === undefined ? [] : ["-c", provider, "-c", 'model_provider="test"']
    return ["node", program, "exec", "--skip-git-repo-check", ...place, "Hi"]
  }
}
