/**
 * Relays bytes between two sockets, unseen: each direction ends by itself (half-close), a break on one side breaks the
 * other off, and a tunnel in which nothing moves is closed.
 */
import type { Duplex } from "node:stream"
import type { Clock } from "../../base/clock.ts"
import { breakConnection } from "./close.ts"
import { IdleTimer } from "./idle-timer.ts"

/** Resolves when both sides have closed. Never rejects: in a tunnel every end is an end. */
export function relay(a: Duplex, b: Duplex, clock: Clock, idleTimeoutMs: number): Promise<void> {
  const timer = new IdleTimer(clock, idleTimeoutMs, () => {
    a.destroy()
    b.destroy()
  })
  const touch = () => timer.touch()
  a.on("data", touch)
  b.on("data", touch)
  a.pipe(b)
  b.pipe(a)
  return Promise.all([closed(a, b), closed(b, a)]).then(() => timer.stop())
}

/** Resolves when `socket` has closed; if it broke, `other` is broken off, too. */
function closed(socket: Duplex, other: Duplex): Promise<void> {
  if (socket.destroyed) {
    breakConnection(other)
    return Promise.resolve()
  }
  return new Promise((resolve) => {
    socket.on("error", () => breakConnection(other))
    socket.once("close", () => {
      // A socket that closes without having ended was cut; one that has ended still owes the other direction.
      if (!socket.readableEnded) breakConnection(other)
      resolve()
    })
  })
}
