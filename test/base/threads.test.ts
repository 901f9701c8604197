/** A thread that does jobs. What each of its clients makes of it is tested with them. */
import { Worker } from "node:worker_threads"
import { test } from "tap"
import { JobThread, type JobThreadOptions } from "../../lib/base/threads.ts"

const ECHO = `import { parentPort as port } from "node:worker_threads"
port.on("message", ({ id, job }) =>
  job === "die" ? process.exit(3) :
  job === "throw" ? setImmediate(() => { throw new Error("broke") }) :
  job === "warn" ? port.postMessage({ id: 0, warning: "look" }) :
  job === "refuse" ? port.postMessage({ id, error: "no", name: "TypeError" }) :
  job === "wait" ? undefined :
  port.postMessage({ id, value: job }))`

function echo(options: Partial<JobThreadOptions> = {}) {
  const script = new URL(`data:text/javascript,${encodeURIComponent(ECHO)}`)
  let starts = 0
  const thread = new JobThread<string, string>({
    start: () => {
      starts += 1
      return new Worker(script)
    },
    refused: ({ error, name }) => new Error(`${name}: ${error}`),
    crashed: (why) => new Error(`ended (${why})`),
    ...options,
  })
  const end = async () => void (await thread.release(new Error("closed"))?.terminate())
  return { thread, end, starts: () => starts }
}

test("each job gets its own answer, from one thread", async (t) => {
  const { thread, end, starts } = echo()
  t.teardown(end)
  t.notOk(thread.isStarted)
  const jobs = Array.from({ length: 50 }, (_, at) => `job ${at}`)
  const answers = Promise.all(jobs.map((job) => thread.ask(job)))
  t.equal(thread.waiting, 50)
  t.strictSame(await answers, jobs)
  t.equal(thread.waiting, 0)
  t.equal(starts(), 1)
})

test("a refused job rejects alone, with what its client makes of it", async (t) => {
  const { thread, end } = echo()
  t.teardown(end)
  const [refused, done] = await Promise.allSettled([thread.ask("refuse"), thread.ask("done")])
  t.match(refused, { reason: { message: "TypeError: no" } })
  t.match(done, { value: "done" })
})

test("a thread that dies rejects all that wait, and the next job starts another", async (t) => {
  const { thread, end, starts } = echo()
  t.teardown(end)
  for (const [how, message] of [
    ["die", "ended (exit status 3)"],
    ["throw", "ended (broke)"],
  ] as const) {
    const waiting = thread.ask("wait")
    await Promise.all([t.rejects(thread.ask(how), { message }), t.rejects(waiting, { message })])
    t.notOk(thread.isStarted)
  }
  t.equal(await thread.ask("again"), "again")
  t.equal(starts(), 3)
})

test("a thread that is let go rejects what waits, and its later end is nobody's", async (t) => {
  const crashes: string[] = []
  const { thread, end } = echo({
    crashed: (why) => {
      crashes.push(why)
      return new Error(why)
    },
  })
  const waiting = t.rejects(thread.ask("wait"), { message: "closed" })
  await end()
  await waiting
  t.strictSame(crashes, [])
  t.equal(thread.release(new Error("twice")), undefined)
})

test("what a thread says by itself answers no job; what is told starts no thread", async (t) => {
  const warnings: string[] = []
  const { thread, end } = echo({ warned: (warning) => void warnings.push(warning) })
  t.teardown(end)
  thread.tell("warn")
  t.notOk(thread.isStarted)
  await thread.ask("start")
  thread.tell("warn")
  await thread.ask("done")
  t.strictSame(warnings, ["look"])
})

test("a thread that cannot be made rejects its job, and is tried again with the next", async (t) => {
  const { thread } = echo({
    start: () => {
      throw new Error("no threads left")
    },
  })
  for (let tries = 0; tries < 2; tries++) await t.rejects(thread.ask("job"), { message: "no threads left" })
  t.equal(thread.waiting, 0)
})
