/** `keys` in the real program, with keys that a test makes in its tables, and clients that show them. */
import type { Test } from "tap"
import { type Key, KeyBook, keyOf, type NewKey } from "../../../addons/keys/book.ts"
import type { Limits } from "../../../addons/keys/limits.ts"
import { hashOf, makeKey } from "../../../addons/keys/secret.ts"
import { MIGRATIONS, type Tables } from "../../../addons/keys/tables.ts"
import keys from "../../../addons/keys.ts"
import type { JsonObject } from "../../../lib/base/json.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { loadAddon, ManualClock, type TestAddon } from "../../../lib/testing/index.ts"

export const CHAT = "/v1/chat/completions"
export const bearer = (key: string) => ({ Authorization: `Bearer ${key}` })
export const chatBody = (more: JsonObject = {}): JsonObject => ({
  model: "gpt-4o",
  messages: [{ role: "user", content: "Say hello." }],
  ...more,
})

const noLog = makeLogger(() => {})

export interface KeysRig {
  readonly addon: TestAddon
  readonly master: string
  readonly clock: ManualClock
  readonly book: KeyBook
  /** Makes a key, and resolves to it. */
  make(given?: Partial<NewKey> & { limits?: Limits }): Promise<string>
  keyOf(key: string): Promise<Key | undefined>
  chat(key: string | undefined, more?: JsonObject): ReturnType<TestAddon["request"]>
}

export async function startKeys(
  t: Test,
  options: JsonObject = {},
  more: Parameters<typeof loadAddon>[1] = {},
): Promise<KeysRig> {
  const master = makeKey()
  const clock = more?.clock ?? new ManualClock(Date.UTC(2026, 10, 30, 12, 0, 5))
  const addon = await loadAddon(keys, { ...more, clock, options: { master, ...options } })
  t.teardown(() => addon.close())
  const db = await addon.tables<Tables>(MIGRATIONS)
  const book = new KeyBook(db, clock, noLog)
  return {
    addon,
    master,
    clock,
    book,
    async make(given = {}) {
      const key = makeKey()
      await book.create(key, { label: "a client", ...given })
      return key
    },
    async keyOf(key) {
      const rows = await book.all()
      const row = rows.find(({ hash }) => hash === hashOf(key))
      return row === undefined ? undefined : keyOf(row)
    },
    chat: (key, body = {}) =>
      addon.request({ url: CHAT, headers: key === undefined ? {} : bearer(key), json: chatBody(body) }),
  }
}
