import { test } from "tap"
import { ByteQueue } from "../../lib/http1/byte-queue.ts"

test("bytes that are fed one by one are joined, and stay whole and in order", (t) => {
  const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index % 251))
  const queue = new ByteQueue()
  for (let at = 0; at < bytes.length; at++) queue.push(bytes.subarray(at, at + 1))
  t.equal(queue.length, bytes.length)
  t.ok(queue.end - queue.start >= bytes.length - 65, "what waits apart is little")
  t.ok(queue.takeAll().equals(bytes))
  t.equal(queue.length, 0)
  t.end()
})

test("what is taken while more comes stays as it was", (t) => {
  const bytes = Buffer.from(Array.from({ length: 5_000 }, (_, index) => index % 241))
  const queue = new ByteQueue()
  const taken: Buffer[] = []
  for (let at = 0; at < bytes.length; at++) {
    queue.push(bytes.subarray(at, at + 1))
    if (at % 3 === 0) taken.push(queue.take(2))
  }
  t.ok(Buffer.concat([...taken, queue.takeAll()]).equals(bytes))
  t.end()
})
