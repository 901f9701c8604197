/** Which kind of place the flows are stored in: a file, or a server of PostgreSQL's. */
import type { HistoryDatabase } from "./database.ts"
import { HistoryFile, type HistoryFileOptions, type HistoryPlace, openHistoryFile } from "./history-file.ts"
import { isPostgresUrl } from "./places.ts"
import { openPostgresHistory } from "./postgres/history.ts"

export type { HistoryPlace }

/** `file`: a path, or a URL. */
export function historyPlace(options: HistoryFileOptions): HistoryPlace {
  return isPostgresUrl(options.file) ? new HistoryServer(options.file) : new HistoryFile(options)
}

/** Opens it, and makes it where there is none. */
export function openHistory(place: string): Promise<HistoryDatabase> {
  return isPostgresUrl(place) ? openPostgresHistory(place) : openHistoryFile(place)
}

/** Opened once: lost connections are the pool's to replace. */
class HistoryServer implements HistoryPlace {
  readonly #url: string
  #open: HistoryDatabase | undefined

  constructor(url: string) {
    this.#url = url
  }

  get present(): HistoryDatabase | undefined {
    return this.#open
  }

  async use<T>(work: (database: HistoryDatabase) => Promise<T>): Promise<T> {
    this.#open ??= await openPostgresHistory(this.#url)
    return await work(this.#open)
  }

  async close(): Promise<void> {
    const open = this.#open
    this.#open = undefined
    await open?.close()
  }
}
