/** The gateway as people run it: the built program, a config file, keys, and scripted upstreams of three dialects before it. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Test } from "tap"
import { makeKey } from "../../../addons/keys/secret.ts"
import { systemClock } from "../../../lib/base/clock.ts"
import type { TestAnswer } from "../../../lib/testing/test-answer.ts"
import { type AskedRequest, TestUpstream } from "../../../lib/testing/test-upstream.ts"
import { exitsWith, type RunningCommand, startCommand } from "../../helpers/command-process.ts"
import { recorded } from "../../helpers/hosts/recorded-hosts.ts"

export const OPENAI_KEY = "sk-real-0123456789abcdef"
export const ANTHROPIC_KEY = "sk-ant-real-0123456789abcdef"
/** What all upstreams and routes list together, sorted. */
export const ALL_MODELS = [
  "claude-test",
  "deepseek-coder:6.7b",
  "fast",
  "gemma3:270m",
  "gpt-4.1",
  "gpt-4.1-mini",
  "tiny:latest",
]

/** An upstream, and what it says to all that is no question for its models. */
export interface Said {
  readonly upstream: TestUpstream
  say(answer: string | TestAnswer | ((asked: AskedRequest) => TestAnswer | Promise<TestAnswer>)): void
  /** What was asked of a model. */
  chats(): AskedRequest[]
}

export async function startUpstream(t: Test, list: (asked: AskedRequest) => TestAnswer | undefined): Promise<Said> {
  const upstream = await TestUpstream.start(systemClock)
  t.teardown(() => upstream.close())
  let said: Parameters<Said["say"]>[0] = "Hello."
  upstream.answers = [async (asked) => list(asked) ?? (typeof said === "function" ? await said(asked) : said)]
  return {
    upstream,
    say: (answer) => {
      said = answer
    },
    chats: () => upstream.asked.filter((asked) => list(asked) === undefined),
  }
}

export function listOf(...ids: string[]): (asked: AskedRequest) => TestAnswer | undefined {
  const data = ids.map((id) => ({ id, object: "model", created: 1_700_000_000, owned_by: "them" }))
  return ({ method, url }) =>
    method === "GET" && new URL(url).pathname.endsWith("/v1/models") ? { json: { object: "list", data } } : undefined
}

export interface Upstreams {
  readonly openai: Said
  readonly claude: Said
  readonly ollama: Said
}

/** What an Ollama has said, recorded. */
export function ollamaSaid(name: string): TestAnswer {
  const { status, contentType, body } = recorded("ollama-0.17.4", name)
  return { status, bytes: body, headers: { "Content-Type": contentType } }
}

/** OpenAI's, Anthropic's, and Ollama's with the list that one has given. */
export async function startUpstreams(t: Test): Promise<Upstreams> {
  // An Ollama speaks OpenAI's API as well.
  const lists: Record<string, string> = { "/v1/models": "models", "/api/tags": "tags", "/api/show": "show" }
  const ofOllama = ({ url }: AskedRequest) => {
    const name = lists[new URL(url).pathname]
    return name === undefined ? undefined : ollamaSaid(name)
  }
  return {
    openai: await startUpstream(t, listOf("gpt-4.1", "gpt-4.1-mini")),
    claude: await startUpstream(t, listOf("claude-test")),
    ollama: await startUpstream(t, ofOllama),
  }
}

/** A folder with a confdir in it, whose config.yaml names those upstreams. */
export function folderFor(t: Test, { openai, claude, ollama }: Upstreams): string {
  const folder = t.testdir()
  const at = ({ upstream }: Said) => `http://127.0.0.1:${upstream.port}`
  mkdirSync(join(folder, "conf"))
  writeFileSync(
    join(folder, "conf", "config.yaml"),
    [
      "models:",
      "  upstreams:",
      `    openai: { url: ${at(openai)}/v1, key: env OPENAI_API_KEY }`,
      `    claude: { url: ${at(claude)}, key: env ANTHROPIC_API_KEY, dialect: anthropic-messages }`,
      `    ollama: { url: ${at(ollama)}, dialect: ollama }`,
      "  routes:",
      "    - { model: fast, to: [{ upstream: openai, model: gpt-4.1-mini }, { upstream: openai, model: gpt-4.1 }] }",
      '    - { model: "gpt-*", to: [openai] }',
      "",
    ].join("\n"),
  )
  return folder
}

const CONFDIR = ["--confdir", "conf"]

export interface Gateway {
  readonly program: RunningCommand
  readonly base: string
  readonly master: string
}

export async function startGateway(
  t: Test,
  folder: string,
  { args = ["-s", "gateway"], env = {} }: { args?: readonly string[]; env?: Record<string, string> } = {},
): Promise<Gateway> {
  const master = makeKey()
  const keys = { OPENAI_API_KEY: OPENAI_KEY, ANTHROPIC_API_KEY: ANTHROPIC_KEY, LLMPROXY_MASTER_KEY: master }
  const program = startCommand(t, ["-p", "0", ...CONFDIR, ...args], { folder, env: { ...keys, ...env } })
  const [, base = ""] = await program.printed(/listening on (http:\/\/127\.0\.0\.1:\d+)/)
  return { program, base, master }
}

/** `llmproxy keys create`, as its user runs it. */
export async function createKey(t: Test, folder: string, ...args: string[]): Promise<string> {
  const outcome = await startCommand(t, ["keys", "create", ...args, ...CONFDIR], { folder }).outcome
  exitsWith(t, 0, outcome)
  return /llmproxy-\w+/.exec(outcome.stdout)?.[0] ?? ""
}
