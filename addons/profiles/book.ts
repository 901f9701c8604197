/**
 * The profiles that there are now: those of the options, and those of Local-LLM-API's file, which is looked at again and again. A
 * file that is wrong leaves those that were read before in place.
 */
import { readFile, stat } from "node:fs/promises"
import { type Clock, isObject, type Logger, type Timer, UsageError } from "llmproxy"
import { type OldFile, readOldFile } from "./old-file.ts"
import { type Profile, profileFrom } from "./profile.ts"

/** Milliseconds between two looks at the file. */
export const LOOK_MS = 2_000
/** Names of a message; more are counted. */
const NAMES_MAX = 12

interface Given {
  readonly list: Readonly<Record<string, unknown>>
  readonly file: string | undefined
  readonly default: string | undefined
}

const NO_FILE: OldFile = { profiles: [], selected: undefined }

export class ProfileBook {
  readonly #clock: Clock
  readonly #log: Logger
  /** Called whenever they are others. */
  readonly #changed: () => void
  #given: Given = { list: {}, file: undefined, default: undefined }
  #byName: ReadonlyMap<string, Profile> = new Map()
  #all: readonly Profile[] = []
  #read: OldFile = NO_FILE
  /** What the file was when it was read, or was found wrong. */
  #stamp = ""
  #timer: Timer | undefined
  /** Counts them: one that was begun before the last ends. */
  #watches = 0

  constructor(clock: Clock, log: Logger, changed: () => void) {
    this.#clock = clock
    this.#log = log
    this.#changed = changed
  }

  get all(): readonly Profile[] {
    return this.#all
  }

  /** The profile of all, as the configuration has it. */
  get fallback(): string | undefined {
    return this.#given.default ?? this.#read.selected
  }

  named(name: string): Profile | undefined {
    return this.#byName.get(name)
  }

  /** For messages: which there are. */
  get names(): string {
    return namesOf(this.#byName)
  }

  /** Rejects with a UsageError, and changes nothing, where the file or a name is wrong. */
  async configure(given: Given): Promise<void> {
    const { file } = given
    let [read, stamp] = [NO_FILE, ""]
    if (file !== undefined && file !== "") {
      try {
        stamp = await stampOf(file)
        read = readOldFile(await readFile(file, "utf8"), file)
      } catch (thrown) {
        throw new UsageError(`profiles.file: ${told(thrown, file)}`)
      }
    }
    const byName = joined(given, read)
    const { default: fallback } = given
    if (fallback !== undefined && !byName.has(fallback))
      throw new UsageError(`profiles.default names "${fallback}", and no profile is called so; ${namesOf(byName)}`)
    this.#take(given, read, byName)
    this.#stamp = stamp
    this.close()
    if (stamp !== "") this.#watch(this.#watches)
  }

  /** Looks at the file no more. */
  close(): void {
    this.#watches += 1
    this.#timer?.cancel()
  }

  #watch(watch: number): void {
    if (watch !== this.#watches) return
    this.#timer = this.#clock.after(LOOK_MS, () => void this.look().then(() => this.#watch(watch)))
  }

  /** Reads the file anew if it is another now. Never rejects. */
  async look(): Promise<void> {
    const { file } = this.#given
    if (file === undefined) return
    const stamp = await stampOf(file).catch((thrown: unknown) => told(thrown, file))
    if (stamp === this.#stamp) return
    this.#stamp = stamp
    try {
      const read = readOldFile(await readFile(file, "utf8"), file)
      this.#take(this.#given, read, joined(this.#given, read))
      this.#log.info(`profiles.file ${file} was read again: ${this.names}`)
    } catch (thrown) {
      this.#log.warn(`profiles.file: ${told(thrown, file)}; the profiles that were read before go on`)
    }
  }

  #take(given: Given, read: OldFile, byName: ReadonlyMap<string, Profile>): void {
    this.#given = given
    this.#read = read
    this.#byName = byName
    this.#all = [...byName.values()]
    this.#changed()
  }
}

function namesOf(byName: ReadonlyMap<string, Profile>): string {
  const names = [...byName.keys()]
  if (names.length === 0) return "there is none"
  const more = names.length > NAMES_MAX ? " and more" : ""
  return `there ${names.length === 1 ? "is" : "are"} ${names.slice(0, NAMES_MAX).join(", ")}${more}`
}

/** What the options name counts before what the file does. */
function joined({ list }: Given, { profiles }: OldFile): ReadonlyMap<string, Profile> {
  const all = new Map(profiles.map((profile) => [profile.name, profile]))
  for (const [name, spec] of Object.entries(list)) if (isObject(spec)) all.set(name, profileFrom(name, spec, false))
  return all
}

async function stampOf(file: string): Promise<string> {
  const { mtimeMs, size, ino } = await stat(file)
  return `${mtimeMs} ${size} ${ino}`
}

function told(thrown: unknown, file: string): string {
  if (!(thrown instanceof Error)) return String(thrown)
  return thrown.message.startsWith(file) ? thrown.message : `${file}: ${thrown.message}`
}
