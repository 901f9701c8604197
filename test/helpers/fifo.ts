/** FIFOs for tests: made, and read without a thread that waits for a writer. */
import { execFileSync } from "node:child_process"
import { constants, openSync } from "node:fs"
import { Socket } from "node:net"
import { join } from "node:path"

export function makeFifo(folder: string): string {
  const fifo = join(folder, "fifo")
  execFileSync("mkfifo", [fifo])
  return fifo
}

/** A reader that is there at once; it ends when its writer has closed. */
export function readFifo(fifo: string): Socket {
  const reader = new Socket({
    fd: openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK),
    readable: true,
    writable: false,
  })
  return reader.setEncoding("utf8")
}
