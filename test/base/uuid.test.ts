import { test } from "tap"
import { uuidv7 } from "../../lib/base/uuid.ts"

test("an id has the form of a UUIDv7 and its time", (t) => {
  for (const time of [0, 1, 1_767_225_600_000, 2 ** 48 - 1, 1_767_225_600_000.9]) {
    const id = uuidv7(time)
    t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    t.equal(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16), Math.floor(time))
  }
  t.end()
})

test("ids differ within one moment, over many blocks of random bytes, and sort by time", (t) => {
  const ids = Array.from({ length: 5_000 }, () => uuidv7(1_000))
  t.equal(new Set(ids).size, 5_000)
  t.equal(new Set(ids.map((id) => id.slice(14))).size, 5_000)
  t.ok(uuidv7(1_000) < uuidv7(1_001))
  t.end()
})
