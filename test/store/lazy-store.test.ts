import { access, readdir } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import type { AddonDefinition } from "../../lib/api/addon.ts"
import type { JsonValue } from "../../lib/api/flow.ts"
import { NO_STORE, STATE_FILE } from "../../lib/api/store.ts"
import { makeLogger } from "../../lib/base/log.ts"
import { LazyStore } from "../../lib/store/lazy-store.ts"
import { bundled } from "../helpers/bundled.ts"
import { startRig } from "../helpers/conductor-rig.ts"
import { chat, START } from "../helpers/flow-snapshots.ts"

const placesIn = (folder: string) => ({
  historyFile: join(folder, "history.db"),
  stateFile: join(folder, "state.db"),
})

test("a store that nobody uses makes no file and no thread", async (t) => {
  const folder = t.testdir({})
  const store = new LazyStore({ ...placesIn(folder), log: makeLogger(() => {}), script: new URL("file:///none.mjs") })
  store.history.retain({ maxAgeMs: 1, maxBytes: 1 })
  await store.history.flush()
  store.records("a", "b")
  await store.ready()
  await store.close()
  t.strictSame(await readdir(folder), [])
})

test("limits and records go through to the store once it is there; a closed one takes nothing", async (t) => {
  const script = await bundled(t, "lib/store/thread-link.ts")
  const store = new LazyStore({ ...placesIn(t.testdir({})), log: makeLogger(() => {}), script })
  store.history.retain({ maxAgeMs: 1_000, maxBytes: undefined })
  t.equal(await store.history.record(chat({ start: START })), true)
  store.history.retain({ maxAgeMs: undefined, maxBytes: undefined })
  const records = store.records("a", "b")
  await records.set("k", 1)
  t.equal(await records.get("k"), 1)
  t.strictSame(await records.entries(), [["k", 1]])
  await records.delete("k")
  t.strictSame(await records.entries(), [])
  await store.history.flush()
  await store.close()
  await store.close()
  t.equal(await store.history.record(chat()), false)
  await t.rejects(records.get("k"), /the store is closed/)
})

test("a store that is closed while it loads ends", async (t) => {
  const script = await bundled(t, "lib/store/thread-link.ts")
  const store = new LazyStore({ ...placesIn(t.testdir({})), log: makeLogger(() => {}), script })
  const recorded = store.history.record(chat())
  await store.close()
  t.equal(await recorded, false)
})

test("an addon's records outlive the program, and are the addon's own", async (t) => {
  const seen: (JsonValue | undefined)[] = []
  const addon = (name: string): AddonDefinition => ({
    name,
    setup: ({ records }) => ({
      async running() {
        const notes = records("notes")
        seen.push(await notes.get("runs"))
        await notes.set("runs", ["first"])
        seen.push(await notes.get("runs"))
      },
    }),
  })
  const rig = await startRig(t, { scripts: [], builtin: [addon("one"), addon("two")] })
  t.strictSame(seen, [undefined, ["first"], undefined, ["first"]])
  await rig.app.stop()
  await access(join(rig.confdir, STATE_FILE))
})

test("a program without a store drops flows, and says so for records", async (t) => {
  t.equal(await NO_STORE.history.record(chat()), false)
  NO_STORE.history.retain({ maxAgeMs: undefined, maxBytes: undefined })
  await NO_STORE.history.flush()
  await t.rejects(NO_STORE.records("a", "b").get("c"), /this program keeps no records/)
  await t.rejects(NO_STORE.tables("a", []), /this program keeps no records/)
  await NO_STORE.ready()
  await NO_STORE.close()
})
