/** The addon `models` between scripted upstreams that list their models and say hello. */
import type { Test } from "tap"
import models from "../../../addons/models.ts"
import type { AuthenticateHookInfo } from "../../../lib/api/hooks.ts"
import type { JsonObject } from "../../../lib/base/json.ts"
import { type LoadAddonOptions, loadAddon, type TestAddon } from "../../../lib/testing/load-addon.ts"
import type { TestAnswer } from "../../../lib/testing/test-answer.ts"
import type { AskedRequest } from "../../../lib/testing/test-upstream.ts"

export const LISTS: Readonly<Record<string, readonly string[]>> = {
  "api.openai.com": ["gpt-4.1", "gpt-4.1-mini", "shared"],
  "127.0.0.1:1234": ["qwen3-4b", "shared"],
  "api.anthropic.com": ["claude-sonnet-4-5"],
  "127.0.0.1:11434": ["llama3.2:latest"],
}
export const UPSTREAMS: JsonObject = {
  openai: { url: "https://api.openai.com/v1", key: "env OPENAI_API_KEY" },
  box: { url: "http://127.0.0.1:1234/v1" },
  claude: { url: "https://api.anthropic.com", key: "env ANTHROPIC_API_KEY", dialect: "anthropic-messages" },
  ollama: { url: "http://127.0.0.1:11434" },
}
export const ROUTES = [
  { model: "llama*", to: ["ollama"] },
  { model: "fast", to: [{ upstream: "box", model: "qwen3-4b" }] },
]
export const ENV = { OPENAI_API_KEY: "sk-openai-0123456789abcdef", ANTHROPIC_API_KEY: "sk-ant-0123456789abcdef" }

export function hostOf({ url }: AskedRequest): string {
  return new URL(url).host
}

export function isList({ method, url }: AskedRequest): boolean {
  return method === "GET" && /\/(v1|v1beta)\/models$/.test(new URL(url).pathname)
}

export function listOf(ids: readonly string[]): TestAnswer {
  return { json: { object: "list", data: ids.map((id) => ({ id, object: "model", created: 1_700_000_000 })) } }
}

export interface Rig extends LoadAddonOptions {
  /** Of what is no list; default: "Hello." */
  readonly say?: (asked: AskedRequest) => string | TestAnswer | Promise<string | TestAnswer>
  /** Of a list; undefined: as in `LISTS`. */
  readonly first?: Parameters<typeof loadAddon>[0]
  readonly lists?: (asked: AskedRequest) => TestAnswer | Promise<TestAnswer> | undefined
}

/** Its addon `first` stands before `models`, which then is one of `others`. */
export async function startModels(t: Test, options: JsonObject = {}, rig: Rig = {}): Promise<TestAddon> {
  const { say = () => "Hello.", lists = () => undefined, first, program = {}, ...more } = rig
  const given = { upstreams: UPSTREAMS, routes: ROUTES, ...options }
  const placed = first === undefined ? { options: given, program } : { program: { ...program, models: given } }
  const addon = await loadAddon(first ?? models, { env: ENV, ...placed, ...more })
  t.teardown(() => addon.close())
  addon.answer((asked) => (isList(asked) ? (lists(asked) ?? listOf(LISTS[hostOf(asked)] ?? [])) : say(asked)))
  return addon
}

/** What was asked beside the lists. */
export function others(addon: TestAddon): AskedRequest[] {
  return addon.asked.filter((asked) => !isList(asked))
}

export function chat(model: string, more: JsonObject = {}): { url: string; json: JsonObject } {
  return { url: "/v1/chat/completions", json: { model, messages: [{ role: "user", content: "Hi." }], ...more } }
}

/** Names whoever shows a bearer token by that. */
export const NAMES = {
  name: "names",
  authenticate({ request, identify }: AuthenticateHookInfo) {
    const user = /^Bearer (\w+)$/.exec(request.headers.get("authorization") ?? "")?.[1]
    if (user !== undefined) identify(user, user)
  },
}

export function as(user: string): { headers: Record<string, string> } {
  return { headers: { Authorization: `Bearer ${user}` } }
}
