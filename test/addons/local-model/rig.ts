/** The addon `local-model` with models that say what their files tell them to. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Test } from "tap"
import type { JsonObject } from "../../../lib/base/json.ts"
import { type LoadAddonOptions, loadAddon, type TestAddon } from "../../../lib/testing/load-addon.ts"
import { installScripted, type Script } from "../../helpers/hosts/scripted-llama.ts"

const ADDON = new URL("../../../addons/local-model.ts", import.meta.url)

export interface Rig extends LoadAddonOptions {
  /** By file name. */
  readonly models?: Readonly<Record<string, Script>>
  readonly first?: Parameters<typeof loadAddon>[0]
}

function modelFolder(t: Test, models: Readonly<Record<string, Script>>): string {
  const folder = t.testdir({})
  mkdirSync(join(folder, "models"))
  for (const [name, script] of Object.entries(models))
    writeFileSync(join(folder, "models", name), JSON.stringify(script))
  return folder
}

export async function startLocal(t: Test, rig: Rig = {}, options: JsonObject = {}): Promise<TestAddon> {
  const { models = { "tiny.gguf": {} }, first, program = {}, ...more } = rig
  const folder = modelFolder(t, models)
  const given = { folder: join(folder, "models"), library: installScripted(folder), threads: 1, ...options }
  const addon = await loadAddon(first ?? ADDON, {
    ...(first === undefined ? { options: given, program } : { program: { ...program, "local-model": given } }),
    ...more,
  })
  t.teardown(() => addon.close())
  return addon
}

export function ask(model: string, more: JsonObject = {}): { url: string; json: JsonObject } {
  return { url: "/v1/chat/completions", json: { model, messages: [{ role: "user", content: "Hi." }], ...more } }
}

/** The JSON of a stream's events, without the mark of its end. */
export function chunksOf(text: string): JsonObject[] {
  return text
    .split("\n\n")
    .filter((event) => event.startsWith("data: {"))
    .map((event) => JSON.parse(event.slice(6)))
}
