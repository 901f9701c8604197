/**
 * UUIDv7 (RFC 9562 section 5.7): sorts by time, unique across machines. Random bytes are drawn in blocks, because a
 * system call per flow would be the most expensive part of it.
 */
import { randomFillSync } from "node:crypto"

const BLOCK_BYTES = 4_096
const RANDOM_BYTES = 10

const block = Buffer.alloc(BLOCK_BYTES)
let used = BLOCK_BYTES

/** A new id for a moment in epoch milliseconds. */
export function uuidv7(epochMs: number): string {
  if (used + RANDOM_BYTES > BLOCK_BYTES) {
    randomFillSync(block)
    used = 0
  }
  const random = block.subarray(used, used + RANDOM_BYTES)
  used += RANDOM_BYTES
  const time = Math.floor(epochMs).toString(16).padStart(12, "0")
  const tail = random.toString("hex")
  const variant = ((Number.parseInt(tail.slice(3, 5), 16) & 0x3f) | 0x80).toString(16)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${tail.slice(0, 3)}-${variant}${tail.slice(5, 7)}-${tail.slice(7, 19)}`
}
