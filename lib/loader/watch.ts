/**
 * Says when files may have changed. Watches their folders, not the files: editors that save by renaming leave a watch on
 * a file that is no more. A link counts with the file that it leads to. What really changed is for the loader to find out; a burst of events is one call.
 */
import { type FSWatcher, realpathSync, watch } from "node:fs"
import { dirname, join } from "node:path"
import type { Clock, Timer } from "../base/clock.ts"
import { messageOf } from "../base/errors.ts"
import type { Logger } from "../base/log.ts"

// An editor's save is several events within a few milliseconds; a person does not notice twice this.
const QUIET_MS = 50

export interface FileWatcherOptions {
  clock: Clock
  log: Logger
  /** Called once after events that `cares` said yes to, when there were none for QUIET_MS. */
  onChange: () => void
  /** Whether a file, in one of the folders, matters though it was not named: one that a build has missed. */
  cares: (file: string) => boolean
}

export class FileWatcher {
  readonly #options: FileWatcherOptions
  readonly #folders = new Map<string, FSWatcher>()
  /** As they were named. */
  #named: readonly string[] = []
  /** The same, and what they are links to. */
  #files: ReadonlySet<string> = new Set()
  #timer: Timer | undefined
  #closed = false

  constructor(options: FileWatcherOptions) {
    this.#options = options
  }

  /** The folders that are watched now. */
  get folders(): string[] {
    return [...this.#folders.keys()]
  }

  /** From now on these files count, absolute paths, and no others. */
  set(files: Iterable<string>): void {
    if (this.#closed) return
    this.#named = [...files]
    this.#look()
  }

  #look(): void {
    this.#files = new Set(this.#named.flatMap((file) => [file, behind(file)]))
    const wanted = new Set([...this.#files].map((file) => dirname(file)))
    for (const [folder, watcher] of this.#folders) if (!wanted.has(folder)) this.#drop(folder, watcher)
    for (const folder of wanted) if (!this.#folders.has(folder)) this.#add(folder)
  }

  /** What the system's watcher calls; a name may be missing, by platform. */
  notice(folder: string, name: string | null): void {
    if (this.#closed) return
    const file = name === null ? undefined : join(folder, name)
    if (file !== undefined && !this.#files.has(file) && !this.#options.cares(file)) return
    this.#timer?.cancel()
    this.#timer = this.#options.clock.after(QUIET_MS, () => {
      this.#look() // A link may lead elsewhere now.
      this.#options.onChange()
    })
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    for (const [folder, watcher] of this.#folders) this.#drop(folder, watcher)
  }

  #add(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => this.notice(folder, name))
      watcher.on("error", (error) => this.#lost(folder, watcher, error))
      this.#folders.set(folder, watcher)
    } catch (error) {
      this.#say(folder, error)
    }
  }

  #lost(folder: string, watcher: FSWatcher, error: unknown): void {
    this.#drop(folder, watcher)
    this.#say(folder, error)
  }

  #drop(folder: string, watcher: FSWatcher): void {
    watcher.close()
    this.#folders.delete(folder)
  }

  #say(folder: string, error: unknown): void {
    this.#options.log.warn(`${folder}: cannot be watched (${messageOf(error)}); restart to take what changed`)
  }
}

/** The file that a path leads to; the path itself while there is none. */
function behind(file: string): string {
  try {
    return realpathSync(file)
  } catch {
    return file
  }
}
