/**
 * SSLKEYLOGFILE: the secrets of TLS connections, appended to a file that Wireshark reads (draft-ietf-tls-keylogfile).
 * Written at once and as they come: a capture is read while the proxy runs, and the last lines are the ones missed.
 * A FIFO whose reader is slow takes the rest later, whole lines in their order.
 */
import { closeSync, writeSync } from "node:fs"
import type { TLSSocket } from "node:tls"
import { type Clock, systemClock, type Timer } from "../../base/clock.ts"
import { messageOf, systemCodeOf } from "../../base/errors.ts"
import { openForAppending } from "../../base/output-place.ts"
import type { KeyLogging } from "../settings.ts"

/** Bytes that wait for a slow reader of a FIFO: some 400 lines, of 80 connections. Lines beyond that are dropped. */
export const KEYLOG_WAITING_MAX = 64 * 1024
/** Milliseconds until a FIFO that was full is tried again. */
const RETRY_MS = 100

export class KeyLog implements KeyLogging {
  readonly #path: string
  readonly #failed: (message: string) => void
  readonly #clock: Clock
  #file: number | undefined
  #broken = false
  #waiting: Buffer = Buffer.alloc(0)
  #retry: Timer | undefined
  /** Whether lines were dropped since the reader had last taken all. */
  #isDropping = false

  /**
   * Opens nothing yet. `failed` is told with one line: once when the file cannot be written, and logging then ends; and
   * each time that a slow reader begins to miss lines.
   */
  constructor(path: string, failed: (message: string) => void, clock: Clock = systemClock) {
    this.#path = path
    this.#failed = failed
    this.#clock = clock
  }

  /** Logs the secrets of this connection. To be called before its handshake. */
  watch(socket: TLSSocket): void {
    if (!this.#broken) socket.on("keylog", (line: Buffer) => this.#add(line))
  }

  close(): void {
    this.#end()
  }

  /** Never throws: it is called from within Node's TLS callbacks. */
  #add(line: Buffer): void {
    if (this.#broken) return
    if (this.#waiting.length + line.length <= KEYLOG_WAITING_MAX) {
      this.#waiting = this.#waiting.length === 0 ? line : Buffer.concat([this.#waiting, line])
    } else if (!this.#isDropping) {
      this.#isDropping = true
      this.#failed(`TLS secrets are missing in ${this.#path} (SSLKEYLOGFILE): its reader is too slow`)
    }
    // While it waits, its turn comes with the timer.
    if (this.#retry === undefined) this.#write()
  }

  #write(): void {
    this.#retry = undefined
    try {
      this.#file ??= openForAppending(this.#path)
      while (this.#waiting.length > 0) this.#waiting = this.#waiting.subarray(writeSync(this.#file, this.#waiting))
      this.#isDropping = false
    } catch (thrown) {
      if (systemCodeOf(thrown) === "EAGAIN") this.#retry = this.#clock.after(RETRY_MS, () => this.#write())
      else {
        this.#failed(`write TLS secrets to ${this.#path} (SSLKEYLOGFILE): ${messageOf(thrown)}; no more are written`)
        this.#end()
      }
    }
  }

  #end(): void {
    this.#broken = true
    this.#retry?.cancel()
    this.#retry = undefined
    this.#waiting = Buffer.alloc(0)
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }
}
