import type { Test } from "tap"
import { type StoreJob, type StoreReply, type StoreRequest, serveStore } from "../../lib/store/thread.ts"
import { START } from "./flow-snapshots.ts"

type StoreOptions = NonNullable<Parameters<typeof serveStore>[2]>

/** The thread's side of a port, in this thread. It is closed with the test. */
export function servedAt(t: Test, file: string, options: StoreOptions = {}) {
  let listener = (_: StoreRequest) => {}
  const waiting = new Map<number, (reply: StoreReply) => void>()
  const warnings: string[] = []
  let isClosed = false
  serveStore(
    {
      on: (_, taken) => (listener = taken),
      postMessage: (reply) => ("warning" in reply ? warnings.push(reply.warning) : waiting.get(reply.id)?.(reply)),
      close: () => (isClosed = true),
    },
    file,
    { now: () => START, ...options },
  )
  let id = 0
  const ask = (job: StoreJob) =>
    new Promise<StoreReply>((resolve) => {
      id += 1
      waiting.set(id, resolve)
      listener({ id, job })
    })
  t.teardown(() => ask({ kind: "close" }))
  return { file, ask, warnings, isClosed: () => isClosed }
}
