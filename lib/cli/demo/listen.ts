/**
 * Puts a host of the demo on a free port of this machine, says which, and ends when the demo does.
 */
import type { Server } from "node:net"
import { onMessage, tell } from "./messages.ts"

export function listen(server: Server): void {
  onMessage(() => {})
  server.on("error", (error) => tell({ kind: "failed", message: error.message }))
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    if (typeof address === "object" && address !== null) tell({ kind: "ready", port: address.port })
  })
}
