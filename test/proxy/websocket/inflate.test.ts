/**
 * permessage-deflate taken off: windows kept over messages, blocks that end a stream, bounds.
 */
import { constants, createDeflateRaw, deflateRawSync } from "node:zlib"
import { test } from "tap"
import { MemoryBudget, MemoryShare } from "../../../lib/proxy/body/memory.ts"
import { MessageInflater } from "../../../lib/proxy/websocket/inflate.ts"

const BUDGET = new MemoryBudget(1_000_000)
const LIMITS = { keepBytes: 100_000, messageBytes: 1_000_000, memory: new MemoryShare(BUDGET) }

/** Messages compressed with one window, as RFC 7692 sends them. */
async function compressed(...texts: string[]): Promise<Buffer[]> {
  const stream = createDeflateRaw()
  const messages: Buffer[] = []
  for (const text of texts) {
    stream.write(text)
    await new Promise<void>((resolve) => stream.flush(constants.Z_SYNC_FLUSH, resolve))
    messages.push((stream.read() as Buffer).subarray(0, -4))
  }
  stream.destroy()
  return messages
}

test("messages that refer to earlier ones are read, in any pieces", async (t) => {
  const texts = ["the same words", "the same words again", "", "the same words again and again"]
  const messages = await compressed(...texts.map((text) => text || "x"))
  const inflater = new MessageInflater(LIMITS)
  for (const [at, message] of messages.entries()) {
    let whole: Buffer | undefined
    for (let from = 0; from < message.length; from += 3) {
      whole = await inflater.feed(message.subarray(from, from + 3), from + 3 >= message.length)
    }
    t.equal(whole?.toString("utf8"), texts[at] || "x")
  }
  t.ok((messages[1]?.length ?? 99) < 15, "they do refer to each other")
  inflater.close()
})

test("a block that says it is the last one ends the window, not the connection", async (t) => {
  const inflater = new MessageInflater(LIMITS)
  for (const text of ["one", "two"]) t.equal((await inflater.feed(deflateRawSync(text), true))?.toString("utf8"), text)
  const [plain] = await compressed("three")
  t.equal((await inflater.feed(plain ?? Buffer.alloc(0), true))?.toString("utf8"), "three")
  inflater.close()
})

test("a message that is too long to be kept is inflated for its window alone, one that grows without end is refused", async (t) => {
  const inflater = new MessageInflater(LIMITS)
  const [long, short] = await compressed("y".repeat(200_000), `${"y".repeat(100)}!`)
  t.equal(await inflater.feed(long ?? Buffer.alloc(0), true), undefined)
  t.equal((await inflater.feed(short ?? Buffer.alloc(0), true))?.length, 101)
  const [bomb] = await compressed("z".repeat(5_000_000))
  await t.rejects(inflater.feed(bomb ?? Buffer.alloc(0), true), { message: /more than 1000000 bytes/ })
  await t.rejects(inflater.feed(Buffer.alloc(1), true), { message: /more than 1000000 bytes/ }, "and stays so")
  inflater.close()
})

test("what a message has become is booked while it grows, and what does not fit is not kept", async (t) => {
  const budget = new MemoryBudget(50_000)
  const [first, second] = [0, 1].map(() => new MessageInflater({ ...LIMITS, memory: new MemoryShare(budget) }))
  if (first === undefined || second === undefined) throw new Error("there are two")
  const [half, rest, short] = await compressed("y".repeat(40_000), "y".repeat(20_000), "y".repeat(100))
  const [other] = await compressed("z".repeat(40_000))
  const empty = Buffer.alloc(0)
  await first.feed(half ?? empty, false)
  t.ok(budget.used > 0 && budget.used <= 50_000, `${budget.used} bytes`)
  t.equal(await second.feed(other ?? empty, true), undefined, "no room beside the other one")
  t.equal((await second.feed(empty, true))?.length, 0, "the next one is kept again")
  await first.feed(Buffer.from([0, 0, 0xff, 0xff]), false)
  t.equal(budget.used, 40_000)
  t.equal(await first.feed(rest ?? empty, true), undefined)
  t.equal(budget.used, 0)
  t.equal((await first.feed(short ?? empty, true))?.length, 100, "which still refers to what was not kept")
  t.equal(budget.used, 0, "a whole one is its caller's")
  await first.feed(Buffer.concat([deflateRawSync("x".repeat(1_000), { finishFlush: constants.Z_SYNC_FLUSH })]), false)
  t.equal(budget.used, 1_000)
  first.close()
  second.close()
  t.equal(budget.used, 0)
})

test("broken bytes are refused, and closing ends what waits", async (t) => {
  const broken = new MessageInflater(LIMITS)
  await t.rejects(broken.feed(Buffer.from([0xff, 0xff]), true), { message: /could not be decompressed/ })
  const closed = new MessageInflater(LIMITS)
  closed.close()
  await t.rejects(closed.feed(Buffer.alloc(1), true), { message: /has ended/ })
})
