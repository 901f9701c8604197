/**
 * What addons can keep: flows in the history, and records of their own. Interfaces, and the one that keeps nothing;
 * lib/store does the work, in a thread, loaded with the first thing that is kept.
 */
import type { FlowSnapshot } from "./flow.ts"
import type { JsonValue } from "./llm/json.ts"

/** Where flows and records are kept, in the confdir. */
export const HISTORY_FILE = "history.db"

/** Flows on disk: `history.db` in the confdir, which `llmproxy history` reads. */
export interface FlowHistory {
  /**
   * Opens the file, and makes it where there is none. To be awaited in a recorder's `load`, which is before the port
   * opens: the first flow is then on disk as soon as all others. Resolves when it is open, or when that has failed, which
   * the log says; recording tries again.
   */
  open(): Promise<void>
  /**
   * Hands a flow over to be stored; what looks like a secret is blanked out first. Resolves to true once it is on disk,
   * so that it survives the end of the process, and to false when it was dropped: the queue or the disk is full, or the
   * file cannot be written. What passes (a locked file, a full disk) is tried again while the queue has room. Never
   * rejects, and no hook has to wait for it. A flow that is there already only gets the token counts that it had none of.
   */
  record(snapshot: FlowSnapshot): Promise<boolean>
  /** Says how long flows are kept. The oldest go first, a few at a time. */
  retain(limits: HistoryLimits): void
  /** Resolves when whatever was handed over is stored or dropped. */
  flush(): Promise<void>
}

export interface HistoryLimits {
  /** Milliseconds; undefined: no limit. */
  readonly maxAgeMs: number | undefined
  /** Bytes on disk; undefined: no limit. */
  readonly maxBytes: number | undefined
}

/**
 * An addon's own records: JSON by key, kept over restarts. Made for notes, not for traffic: every call is a transaction,
 * and an addon's calls are done one after the other, in their order. They are kept as they are, secrets too: who notes
 * what others said takes those out first (`Redactor`). Every method rejects with an Error when the file cannot be read or
 * written.
 */
export interface AddonStore {
  get(key: string): Promise<JsonValue | undefined>
  set(key: string, value: JsonValue): Promise<void>
  delete(key: string): Promise<void>
  /** In the order of their keys, from behind `after`; at most 1,000. */
  entries(after?: string): Promise<[string, JsonValue][]>
}

/** What the program gives to its addons. */
export interface StoreService {
  readonly history: FlowHistory
  /** The records `name` of an addon. */
  records(addon: string, name: string): AddonStore
  /** Stores what waits, for a while, and ends. */
  close(): Promise<void>
}

const nowhere = () => Promise.reject(new Error("this program keeps no records"))

/** For programs that keep nothing. */
export const NO_STORE: StoreService = {
  history: {
    open: () => Promise.resolve(),
    record: () => Promise.resolve(false),
    retain() {},
    flush: () => Promise.resolve(),
  },
  records: () => ({ get: nowhere, set: nowhere, delete: nowhere, entries: nowhere }),
  close: () => Promise.resolve(),
}
