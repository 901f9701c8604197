/**
 * Where a command writes. A full disk, a quota, a terminal that was closed: what cannot be written is dropped and
 * counted, the traffic goes on, and the next write is tried as if nothing had been. A reader that has gone for good
 * (`llmproxy | head`) is not written to again. Nothing here throws: an `error` event without a listener, or with one that
 * throws, would end the proxy for the sake of a line.
 */
import { closeSync, writeSync } from "node:fs"
import { messageOf, systemCodeOf } from "../../base/errors.ts"
import { openForAppending } from "../../base/output-place.ts"

export interface Output {
  /** Never throws. */
  write(text: string): void
  readonly isTerminal: boolean
  /** Characters in a line of the terminal; undefined where there is none. */
  readonly columns: number | undefined
  /**
   * Resolves when all that was written is out or dropped: to why the last of what was dropped was, to undefined when
   * nothing was. A reader that has gone wants nothing more, so that nothing is missing for it.
   */
  settled(): Promise<string | undefined>
}

export function outputOf(stream: NodeJS.WriteStream | NodeJS.WritableStream): Output {
  const losses = new Losses()
  let isOpen = true
  stream.on("error", (error) => {
    if (systemCodeOf(error) === "EPIPE") isOpen = false
    // A loss is counted by its write's own callback.
  })
  const terminal = "isTTY" in stream && stream.isTTY === true ? stream : undefined
  const send = (text: string) => {
    if (!isOpen) return
    try {
      stream.write(text, (error) => {
        if (error !== undefined && error !== null) {
          if (isOpen && systemCodeOf(error) !== "EPIPE") losses.add(error)
          return
        }
        const notice = text === "" ? undefined : losses.notice()
        if (notice !== undefined) send(notice)
      })
    } catch (thrown) {
      losses.add(thrown) // A file's stream writes at once, and some versions of Node throw from there.
    }
  }
  return {
    write: send,
    isTerminal: terminal !== undefined,
    get columns() {
      return terminal?.columns
    },
    settled: () =>
      new Promise((resolve) => {
        if (!isOpen) resolve(losses.why)
        // Behind what waits: an empty write is told of when all before it was.
        else stream.write("", () => resolve(losses.why))
      }),
  }
}

/** A file that is added to, mode 0600: prompts may stand in what is written. Throws what the system says. */
export function fileOutput(path: string): Output & { close(): void } {
  const handle = openForAppending(path)
  const losses = new Losses()
  let isCut = false
  const send = (text: string) => {
    try {
      if (isCut) writeAll(handle, "\n")
      isCut = false
      writeAll(handle, text)
    } catch (thrown) {
      isCut = true // Part of the line may stand there.
      losses.add(thrown)
      return
    }
    const notice = losses.notice()
    if (notice !== undefined) send(notice)
  }
  return {
    write: send,
    isTerminal: false,
    columns: undefined,
    settled: async () => losses.why,
    close: () => closeSync(handle),
  }
}

function writeAll(handle: number, text: string): void {
  let bytes: Uint8Array = Buffer.from(text)
  while (bytes.length > 0) bytes = bytes.subarray(writeSync(handle, bytes))
}

/** What was dropped, and whether a reader has been told. */
class Losses {
  why: string | undefined
  #untold = 0

  add(thrown: unknown): void {
    this.why = messageOf(thrown)
    this.#untold += 1
  }

  /** A line for the place where something is missing, once something could be written again. */
  notice(): string | undefined {
    if (this.#untold === 0) return undefined
    const count = this.#untold
    this.#untold = 0
    return `llmproxy: ${count === 1 ? "1 write is" : `${count} writes are`} missing here: ${this.why}\n`
  }
}
