/**
 * What a Close may say (RFC 6455, 5.5.1, 7.4).
 */
import { test } from "tap"
import { NO_CODE, readClose, writeClose } from "../../lib/websocket/close.ts"

test("a Close says a code and a reason, or nothing", async (t) => {
  t.same(readClose(Buffer.alloc(0)), { code: NO_CODE, reason: "" })
  for (const [code, reason] of [
    [1000, ""],
    [1001, "bye"],
    [1014, "ü"],
    [3000, "x".repeat(123)],
    [4999, "✓"],
  ] as const)
    t.same(readClose(writeClose(code, reason)), { code, reason })
})

test("codes that must not be sent, half a code and a reason that is no UTF-8 are refused", async (t) => {
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535]) {
    const payload = Buffer.alloc(2)
    payload.writeUInt16BE(code)
    t.throws(() => readClose(payload), { message: /^a Close/ }, `read ${code}`)
    t.throws(() => writeClose(code, ""), RangeError, `write ${code}`)
  }
  t.throws(() => readClose(Buffer.of(3)), { message: /^a Close/ })
  t.throws(() => readClose(Buffer.of(3, 0xe8, 0xc3)), { message: /UTF-8/ })
})

test("a reason that is too long is cut between two characters", async (t) => {
  const payload = writeClose(1000, `${"x".repeat(122)}é✓`)
  t.equal(payload.length, 124)
  t.equal(readClose(payload).reason, "x".repeat(122))
})
