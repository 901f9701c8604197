/**
 * What addons had noted in an older history, for the state that is made beside it: below the seam, as only files of SQLite's
 * are so old. It stays there, too: an older llmproxy finds it, and nothing is lost by a mistake here.
 */
import { existsSync } from "node:fs"
import { messageOf } from "../../base/errors.ts"
import { isDamage, openSqlite, type SqliteSources } from "../sqlite.ts"

export interface TakeOver {
  /** The history file beside the state. */
  readonly history: string
  readonly sources?: SqliteSources | undefined
  warn(message: string): void
}

export interface OldRecord {
  addon: string
  name: string
  key: string
  /** JSON. */
  value: string
  updated_at: number
}

export async function oldRecords({ history, sources, warn }: TakeOver): Promise<OldRecord[]> {
  if (!existsSync(history)) return []
  try {
    const open = openSqlite<{ addon_records: OldRecord }>(history, {
      readOnly: true,
      ...(sources === undefined ? {} : { sources }),
    })
    try {
      return await open.db.selectFrom("addon_records").selectAll().execute()
    } finally {
      open.abandon()
    }
  } catch (thrown) {
    if (/no such table/.test(messageOf(thrown))) return []
    if (!isDamage(thrown)) throw thrown
    warn(`${history} is damaged: what addons had noted there is not taken over`)
    return []
  }
}
