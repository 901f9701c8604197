/** Waiting until a stream of Node's takes more, on the side of a test. */
import type { Writable } from "node:stream"

/** Resolves when the stream has room again, or will never have. */
export function drained(stream: Pick<Writable, "destroyed" | "on" | "off">): Promise<void> {
  if (stream.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      stream.off("drain", done)
      stream.off("close", done)
      resolve()
    }
    stream.on("drain", done)
    stream.on("close", done)
  })
}
