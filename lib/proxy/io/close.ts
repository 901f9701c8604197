/**
 * Closing a socket so that the peer still reads our last words: FIN, then what it sends is read and thrown away for a
 * moment. Closing at once would send RST, and RST makes the peer's kernel drop the answer that it has not read yet.
 */
import { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { TLSSocket } from "node:tls"
import type { Clock } from "../../base/clock.ts"

/** How long a peer may take to notice that we have closed. */
const LINGER_MS = 2_000
/** How long a peer may take to read what is queued for it. */
const FLUSH_MS = 60_000

export function closeGently(socket: Duplex, clock: Clock): void {
  if (socket.destroyed) return
  const destroy = () => socket.destroy()
  let timer = clock.after(FLUSH_MS, destroy)
  socket.once("close", () => timer.cancel())
  socket.once("finish", () => {
    timer.cancel()
    if (!socket.destroyed) timer = clock.after(LINGER_MS, destroy)
  })
  socket.removeAllListeners("data")
  socket.once("end", () => {
    if (socket.writableFinished) socket.destroy()
    else socket.once("finish", destroy)
  })
  socket.end()
  socket.resume()
}

/**
 * Waits until what is queued has been sent, then resets the connection. `raw` is the TCP socket under `socket`: TLS
 * has no reset of its own.
 */
export function resetGently(socket: Duplex, raw: Socket, clock: Clock): void {
  if (socket.destroyed) return
  const reset = () => {
    timer.cancel()
    raw.resetAndDestroy()
    socket.destroy()
  }
  const timer = clock.after(LINGER_MS, reset)
  if (socket.writableLength === 0) reset()
  else socket.write("", reset)
}

/** Breaks a connection off at once so that the peer cannot take it for an end: TCP resets, TLS misses its close_notify. */
export function breakConnection(socket: Duplex): void {
  if (socket.destroyed) return
  if (socket instanceof Socket && !(socket instanceof TLSSocket)) socket.resetAndDestroy()
  else socket.destroy()
}
