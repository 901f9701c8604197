import { test } from "tap"
import { CountingThread, serveCounts } from "../../../lib/llm/tokens/worker-client.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"

/** A thread that runs the given lines; `port` is its end. */
function scripted(lines: string): URL {
  const code = `import { parentPort as port } from "node:worker_threads"\n${lines}`
  return new URL(`data:text/javascript,${encodeURIComponent(code)}`)
}

const COUNT_CHARS = `port.on("message", ({ id, job: { texts } }) =>
  texts[0] === "crash" ? process.exit(7) :
  texts[0] === "throw" ? setImmediate(() => { throw new Error("broke") }) :
  texts[0] === "wait" ? undefined :
  texts[0] === "refuse" ? port.postMessage({ id, error: "refused" }) :
  port.postMessage({ id, value: texts.map((text) => ({ tokens: text.length, exact: true })) }))`

test("the thread counts with the real tables", async (t) => {
  const thread = new CountingThread()
  t.teardown(() => thread.close())
  const [counts, older] = await Promise.all([
    thread.count("o200k_base", ["hello world", "<|endoftext|>"]),
    thread.count("cl100k_base", ["hello world"]),
  ])
  t.same(counts, [
    { tokens: 2, exact: true },
    { tokens: 7, exact: true },
  ])
  t.same(older, [{ tokens: 2, exact: true }])
})

test("the thread's side answers every request, also one that fails", async (t) => {
  const replies: unknown[] = []
  let ask: ((request: { id: number; job: { table: "o200k_base"; texts: string[] } }) => void) | undefined
  const done = new Promise<void>((resolve) => {
    serveCounts({
      on: (_, listener) => {
        ask = listener
      },
      postMessage: (reply) => {
        replies.push(reply)
        if (replies.length === 2) resolve()
      },
    })
  })
  ask?.({ id: 1, job: { table: "o200k_base", texts: ["hello world"] } })
  ask?.({ id: 2, job: { table: "o200k_base", texts: [5 as unknown as string] } })
  await done
  t.match(replies, [
    { id: 1, value: [{ tokens: 2 }] },
    { id: 2, error: /./ },
  ])
})

test("answers find their counts, many at once", async (t) => {
  const thread = new CountingThread({ script: scripted(COUNT_CHARS) })
  t.teardown(() => thread.close())
  const all = await Promise.all(
    Array.from({ length: 100 }, (_, at) => thread.count("o200k_base", ["x".repeat(at + 10)])),
  )
  t.same(
    all.map(([counted]) => counted?.tokens),
    Array.from({ length: 100 }, (_, at) => at + 10),
  )
})

test("a crash rejects the counts that wait, and the next one gets a new thread", async (t) => {
  const thread = new CountingThread({ script: scripted(COUNT_CHARS) })
  t.teardown(() => thread.close())
  for (const [text, reason] of [
    ["crash", /ended \(exit status 7\)/],
    ["throw", /ended \(broke\)/],
  ] as const) {
    const waiting = thread.count("o200k_base", ["wait"])
    await Promise.all([t.rejects(thread.count("o200k_base", [text]), reason), t.rejects(waiting, reason)])
    t.same(await thread.count("o200k_base", ["four"]), [{ tokens: 4, exact: true }])
  }
})

test("a count that the thread refuses rejects alone", async (t) => {
  const thread = new CountingThread({ script: scripted(COUNT_CHARS) })
  t.teardown(() => thread.close())
  await t.rejects(thread.count("o200k_base", ["refuse"]), { message: "count tokens: refused" })
  t.same(await thread.count("o200k_base", ["four"]), [{ tokens: 4, exact: true }])
})

test("a thread that cannot start is tried three times, then for every hundredth count", async (t) => {
  const thread = new CountingThread({ script: scripted('throw new Error("no such table")') })
  t.teardown(() => thread.close())
  const count = () => thread.count("o200k_base", ["a"])
  for (let attempt = 0; attempt < 3; attempt++) await t.rejects(count(), /ended \(no such table\)/)
  for (let attempt = 1; attempt < 100; attempt++)
    await count().catch((error) => t.match(error.message, /3 times in a row/))
  await t.rejects(count(), /ended \(no such table\)/)
})

test("a thread that does not answer is ended", async (t) => {
  const clock = new ManualClock()
  const thread = new CountingThread({ script: scripted(COUNT_CHARS), clock })
  t.teardown(() => thread.close())
  const starting = thread.count("o200k_base", ["wait"])
  clock.advance(30_000)
  await t.rejects(starting, /no answer within 30000 ms/, "while it starts")
  t.same(await thread.count("o200k_base", ["four"]), [{ tokens: 4, exact: true }])
  const hung = thread.count("o200k_base", ["wait"])
  clock.advance(10_000)
  await t.rejects(hung, /no answer within 10000 ms/, "once it has answered")
})

test("the queue is bounded in counts and in characters", async (t) => {
  const thread = new CountingThread({ script: scripted(COUNT_CHARS) })
  const waiting = Array.from({ length: 256 }, () => thread.count("o200k_base", ["wait"]))
  await t.rejects(thread.count("o200k_base", ["a"]), /256 counts of 1024 characters are waiting already/)
  await Promise.all([thread.close(), ...waiting.map((count) => t.rejects(count, /closed/))])
  const other = new CountingThread({ script: scripted(COUNT_CHARS) })
  await t.rejects(other.count("o200k_base", ["x".repeat(16_777_217)]), /waiting already/)
  await other.close()
})

test("after close every count rejects", async (t) => {
  const thread = new CountingThread({ script: scripted(COUNT_CHARS) })
  await thread.count("o200k_base", ["a"])
  await thread.close()
  await thread.close()
  await t.rejects(thread.count("o200k_base", ["a"]), /closed/)
})
