import { mkdirSync, rmSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { test } from "tap"
import { makeLogger } from "../../lib/base/log.ts"
import { FileWatcher } from "../../lib/loader/watch.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"

function watcherOf(cares: (file: string) => boolean = () => false) {
  const lines: string[] = []
  const clock = new ManualClock()
  const seen = { changes: 0 }
  const watcher = new FileWatcher({
    clock,
    log: makeLogger((line) => lines.push(line)),
    onChange: () => {
      seen.changes += 1
    },
    cares,
  })
  return { watcher, clock, seen, lines }
}

test("a burst of events on files that count is one call, when it is over", (t) => {
  const folder = t.testdir({ "a.ts": "", "b.ts": "" })
  const { watcher, clock, seen } = watcherOf()
  watcher.set([join(folder, "a.ts")])
  watcher.notice(folder, "b.ts")
  t.equal(clock.pending, 0, "another file in the folder")
  for (const name of ["a.ts", "a.ts", null]) {
    watcher.notice(folder, name)
    clock.advance(49)
    t.equal(seen.changes, 0)
  }
  clock.advance(1)
  t.equal(seen.changes, 1)
  watcher.notice(folder, "a.ts")
  watcher.close()
  watcher.notice(folder, "a.ts")
  watcher.set([join(folder, "a.ts")])
  clock.advance(1_000)
  t.equal(seen.changes, 1, "nothing comes after close")
  t.same(watcher.folders, [])
  t.end()
})

test("a file that was not named counts when it is cared for", (t) => {
  const folder = t.testdir({ "a.ts": "" })
  const { watcher, clock, seen } = watcherOf((file) => file === join(folder, "new.ts"))
  watcher.set([join(folder, "a.ts")])
  watcher.notice(folder, "new.ts")
  watcher.notice(folder, "new.log")
  clock.advance(50)
  t.equal(seen.changes, 1)
  watcher.close()
  t.end()
})

test("folders are watched while a file of theirs counts", (t) => {
  const folder = t.testdir({ "a.ts": "", sub: { "b.ts": "", "c.ts": "" } })
  const { watcher } = watcherOf()
  watcher.set([join(folder, "a.ts"), join(folder, "sub/b.ts"), join(folder, "sub/c.ts")])
  t.same(watcher.folders, [folder, join(folder, "sub")])
  watcher.set([join(folder, "sub/b.ts")])
  t.same(watcher.folders, [join(folder, "sub")])
  watcher.close()
  t.end()
})

test("a folder that cannot be watched is said, and does not stop the rest", (t) => {
  const folder = t.testdir({ "a.ts": "" })
  const { watcher, lines } = watcherOf()
  watcher.set([join(folder, "gone/a.ts"), join(folder, "a.ts")])
  t.match(lines, [/gone: cannot be watched \(.*\); restart to take what changed/])
  t.same(watcher.folders, [folder])
  mkdirSync(join(folder, "gone"))
  watcher.set([join(folder, "gone/a.ts")])
  t.same(watcher.folders, [join(folder, "gone")], "it is tried again with the next set")
  rmSync(join(folder, "gone"), { recursive: true })
  watcher.close()
  t.end()
})

test("behind a link the file counts as well, also when the link leads elsewhere later", (t) => {
  const folder = t.testdir({ conf: {}, one: { "a.yaml": "" }, other: { "b.yaml": "" } })
  const at = (...names: string[]) => join(folder, ...names)
  symlinkSync(at("one", "a.yaml"), at("conf", "config.yaml"))
  const { watcher, clock, seen } = watcherOf()
  const notice = (...names: [folder: string, name: string]) => {
    watcher.notice(at(names[0]), names[1])
    clock.advance(50)
    return seen.changes
  }
  watcher.set([at("conf", "config.yaml")])
  t.same(watcher.folders, [at("conf"), at("one")])
  t.equal(notice("one", "a.yaml"), 1)
  rmSync(at("conf", "config.yaml"))
  symlinkSync(at("other", "b.yaml"), at("conf", "config.yaml"))
  t.equal(notice("conf", "config.yaml"), 2)
  t.same(watcher.folders, [at("conf"), at("other")])
  t.equal(notice("one", "a.yaml"), 2)
  t.equal(notice("other", "b.yaml"), 3)
  watcher.close()
  t.end()
})
