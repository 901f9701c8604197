/** The state's thread, in this thread and on a clock that is turned by hand; tables opened over it as an addon has them. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Kysely } from "kysely"
import type { Test } from "tap"
import type { TableMigration } from "../../../lib/api/store.ts"
import type { JobRequest } from "../../../lib/base/threads.ts"
import { languageOf } from "../../../lib/store/places.ts"
import { openTables } from "../../../lib/store/state/tables.ts"
import { type StateJob, type StatePort, serveState } from "../../../lib/store/state/thread.ts"
import { StoreTrouble } from "../../../lib/store/thread-link.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { kindOf, newDatabase } from "../../helpers/postgres.ts"

export interface ServedState {
  readonly file: string
  readonly history: string
  readonly clock: ManualClock
  readonly warnings: string[]
  ask(job: StateJob): Promise<unknown>
  tables<Tables>(addon: string, migrations: readonly TableMigration[]): Promise<Kysely<Tables>>
  close(): Promise<void>
}

/** For a test of `onBoth` on the one or the other. */
export async function placeFor(t: Test): Promise<{ file: string; history: string }> {
  if (kindOf(t) === "PostgreSQL") {
    const url = await newDatabase(t)
    return { file: url, history: url }
  }
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-state-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return { file: join(folder, "state.db"), history: join(folder, "history.db") }
}

export async function served(t: Test, place?: { file: string; history: string }): Promise<ServedState> {
  const { file, history } = place ?? (await placeFor(t))
  const clock = new ManualClock()
  const warnings: string[] = []
  const waiting = new Map<number, (reply: Parameters<StatePort["postMessage"]>[0]) => void>()
  let take = (_: JobRequest<StateJob>) => {}
  const port: StatePort = {
    on: (_, listener) => {
      take = listener
    },
    postMessage: (reply) => {
      if ("warning" in reply) warnings.push(reply.warning)
      else waiting.get(reply.id)?.(structuredClone(reply)) // as on the way between threads
    },
    close() {},
  }
  serveState(port, { file, history, clock })
  let id = 0
  const ask = (job: StateJob) =>
    new Promise<unknown>((resolve, reject) => {
      id += 1
      waiting.set(id, (reply) => {
        if ("error" in reply)
          reject(new StoreTrouble(reply.trouble === "unknown" ? "crash" : reply.trouble, reply.error))
        else if ("value" in reply) resolve(reply.value)
      })
      take({ id, job })
    })
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= ask({ kind: "close" }).then(() => {})
    return closing
  }
  t.teardown(close)
  const tables = <Tables>(addon: string, migrations: readonly TableMigration[]) =>
    openTables<Tables>({ addon, migrations, ask, language: languageOf(file), now: () => clock.now() })
  return { file, history, clock, warnings, ask, tables, close }
}
