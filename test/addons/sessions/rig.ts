/** `sessions` with `profiles` and `models`, whose one upstream has two models, and clients that a word names. */
import type { Test } from "tap"
import models from "../../../addons/models.ts"
import profiles from "../../../addons/profiles.ts"
import sessions from "../../../addons/sessions.ts"
import type { JsonObject } from "../../../lib/base/json.ts"
import { type LoadAddonOptions, loadAddon, type TestAddon } from "../../../lib/testing/load-addon.ts"
import { WORDS } from "../profiles/rig.ts"

const BOX = { box: { url: "http://127.0.0.1:1234/v1", models: ["qwen3-4b", "vicuna.gguf"] } }

export const KEY = (word: string) => ({ Authorization: word })
export const NAMED = (session: string) => ({ "x-llmproxy-session": session })

export async function startSessions(
  t: Test,
  { upstreams = BOX, ...more }: LoadAddonOptions & { upstreams?: JsonObject } = {},
): Promise<TestAddon> {
  const others = [WORDS, profiles, models]
  const addon = await loadAddon(sessions, { ...more, others, program: { ...more.program, models: { upstreams } } })
  t.teardown(() => addon.close())
  return addon
}

export function chat(messages: JsonObject[], headers: Record<string, string>, more: JsonObject = {}) {
  return { url: "/v1/chat/completions", headers, json: { model: "qwen3-4b", messages, ...more } }
}

/** What the model was told last: who says what. */
export function messagesIn(addon: TestAddon): string[] {
  const messages = addon.asked.at(-1)?.llm?.messages ?? []
  return messages.map(({ role, content }) => `${role}: ${typeof content === "string" ? content : ""}`)
}
