/**
 * Waits for the first byte on either of two connections: a client that stays silent after CONNECT may be waiting for
 * the server, as with SMTP or SSH, or may only be slow. Nothing is taken from either.
 */
import type { Duplex } from "node:stream"
import type { Clock } from "../../base/clock.ts"

/** `server` also when one of them ended or broke: a relay passes that on. `nobody`: `timeoutMs` have passed. */
export type Speaker = "client" | "server" | "nobody"

/** Leaves both paused. */
export function firstToSpeak(client: Duplex, server: Duplex, clock: Clock, timeoutMs: number): Promise<Speaker> {
  if (client.destroyed || server.destroyed) return Promise.resolve("server")
  return new Promise((resolve) => {
    const decide = (who: Speaker) => {
      timer.cancel()
      for (const stop of stops) stop()
      resolve(who)
    }
    const onGone = () => decide("server")
    const listen = (socket: Duplex, who: Speaker) => {
      const onData = (bytes: Buffer) => {
        decide(who)
        socket.unshift(bytes)
      }
      socket.on("data", onData).on("end", onGone).on("close", onGone)
      return () => void socket.off("data", onData).off("end", onGone).off("close", onGone).pause()
    }
    const timer = clock.after(timeoutMs, () => decide("nobody"))
    const stops = [listen(client, "client"), listen(server, "server")]
    client.resume()
    server.resume()
  })
}
