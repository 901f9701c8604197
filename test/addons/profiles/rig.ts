/** `profiles` before `models`, whose one upstream says its models, with clients that a word names. */
import type { Test } from "tap"
import models from "../../../addons/models.ts"
import profiles from "../../../addons/profiles.ts"
import type { AuthenticateHookInfo } from "../../../lib/api/hooks.ts"
import type { JsonObject } from "../../../lib/base/json.ts"
import { type LoadAddonOptions, loadAddon, type TestAddon } from "../../../lib/testing/load-addon.ts"

const CHAT = "/v1/chat/completions"

/** Clients by the word that they show: "master", and keys with claims. */
export const WORDS = {
  name: "words",
  asks: "everywhere" as const,
  authenticate({ request, identify, refuse }: AuthenticateHookInfo) {
    const word = request.headers.get("authorization") ?? ""
    if (word === "") return
    if (word === "unknown") return refuse(401, "no")
    const profile = word.startsWith("with-") ? { profile: word.slice(5) } : {}
    identify(word, word, { key: `k_${word}`, owner: word, admin: word === "master", ...profile })
  },
}

export const OLD_PROFILE: JsonObject = {
  model: "vicuna-13b-v1.5.Q5_K_M.gguf",
  n_ctx: 4096,
  temperature: 0.7,
  max_tokens: 16000,
  top_p: 0.8,
  top_k: 40,
  verbose: true,
  repeat_penalty: 1.1,
  template: "You are a chatbot. \n\n{chat_history} \n\nPROMPT: {input} \n\nBOT:",
}

const BOX: JsonObject = {
  box: { url: "http://127.0.0.1:1234/v1", models: ["qwen3-4b", "vicuna-13b-v1.5.Q5_K_M.gguf"], context: 4096 },
}

export async function startProfiles(
  t: Test,
  options: JsonObject,
  { upstreams = BOX, ...more }: LoadAddonOptions & { upstreams?: JsonObject } = {},
): Promise<TestAddon> {
  const addon = await loadAddon(profiles, {
    ...more,
    options,
    others: [WORDS, models, ...(more.others ?? [])],
    program: { ...more.program, models: { upstreams } },
  })
  t.teardown(() => addon.close())
  return addon
}

export function chat(more: JsonObject = {}, headers: Record<string, string> = {}) {
  return { url: CHAT, headers, json: { model: "qwen3-4b", messages: [{ role: "user", content: "Hi." }], ...more } }
}

/** What the upstream got last, of a request to a model. */
export function lastBody(addon: TestAddon): JsonObject {
  const body: unknown = JSON.parse(addon.asked.at(-1)?.text ?? "{}")
  return typeof body === "object" && body !== null && !Array.isArray(body) ? { ...body } : {}
}
