/**
 * SSLKEYLOGFILE: the secrets of TLS connections, appended to a file that Wireshark reads (draft-ietf-tls-keylogfile).
 * Written at once and as they come: a capture is read while the proxy runs, and the last lines are the ones missed.
 */
import { closeSync, writeSync } from "node:fs"
import type { TLSSocket } from "node:tls"
import { messageOf } from "../errors.ts"
import { openForAppending } from "../output-place.ts"

export class KeyLog {
  readonly #path: string
  readonly #failed: (message: string) => void
  #file: number | undefined
  #broken = false

  /** Opens nothing yet. `failed` is told once, with one line, when the file cannot be written; logging then ends. */
  constructor(path: string, failed: (message: string) => void) {
    this.#path = path
    this.#failed = failed
  }

  /** Logs the secrets of this connection. To be called before its handshake. */
  watch(socket: TLSSocket): void {
    if (!this.#broken) socket.on("keylog", (line: Buffer) => this.#write(line))
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
    this.#broken = true
  }

  /** Never throws: it is called from within Node's TLS callbacks. */
  #write(line: Buffer): void {
    if (this.#broken) return
    try {
      this.#file ??= openForAppending(this.#path)
      writeSync(this.#file, line)
    } catch (thrown) {
      this.#broken = true
      this.#failed(`write TLS secrets to ${this.#path} (SSLKEYLOGFILE): ${messageOf(thrown)}; no more are written`)
    }
  }
}
