import { PassThrough } from "node:stream"
import { test } from "tap"
import { drained } from "../../lib/testing/drained.ts"

test("who waits for room is not kept by a stream that drains, closes, or was gone before", async (t) => {
  for (const ends of ["drain", "close"]) {
    const stream = new PassThrough()
    const waiting = drained(stream)
    stream.emit(ends)
    await waiting
    t.same([stream.listenerCount("drain"), stream.listenerCount("close")], [0, 0], ends)
  }
  const gone = new PassThrough().destroy()
  await new Promise((resolve) => gone.once("close", resolve))
  await drained(gone)
})
