/**
 * Closing a socket so that the peer still reads our last words: FIN, then what it sends is read and thrown away for a
 * moment. Closing at once would send RST, and RST makes the peer's kernel drop the answer that it has not read yet.
 */
import { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { Clock } from "../clock.ts"

/** How long a peer may take to notice that we have closed. */
const LINGER_MS = 2_000

export function closeGently(socket: Duplex, clock: Clock): void {
  if (socket.destroyed) return
  const timer = clock.after(LINGER_MS, () => socket.destroy())
  socket.once("close", () => timer.cancel())
  socket.removeAllListeners("data")
  socket.once("end", () => socket.destroy())
  socket.end()
  socket.resume()
}

/** Waits until what is queued has been sent, then resets the connection. */
export function resetGently(socket: Duplex, clock: Clock): void {
  if (socket.destroyed) return
  const reset = () => {
    timer.cancel()
    if (socket instanceof Socket) socket.resetAndDestroy()
    else socket.destroy()
  }
  const timer = clock.after(LINGER_MS, reset)
  if (socket.writableLength === 0) reset()
  else socket.write("", reset)
}
