/**
 * Adds a record to a file that holds one JSON array, at a cost that does not grow with the file: only its last bytes are
 * read, and the closing bracket is written over. The bytes are what Python's json.dumps(records, indent=4,
 * ensure_ascii=False) writes. A file that is something else is never written to, and never lost.
 */
import { open, rename } from "node:fs/promises"

/** Bytes at the end of the file in which the closing bracket must be. */
const TAIL_BYTES = 256
const HEAD_BYTES = 64

/** Adds `record`. Resolves to the name under which a damaged file was kept, undefined when all was well. */
export async function appendRecord(path: string, record: object, now: number): Promise<string | undefined> {
  // The inside of the array: the record, indented by four.
  const text = JSON.stringify([record], null, 4).slice(2, -2)
  if (await tryAppend(path, text)) return undefined
  const aside = `${path}.damaged-${new Date(now).toISOString().replace(/[-:.]/g, "")}`
  await rename(path, aside)
  await tryAppend(path, text)
  return aside
}

/** False: the file holds something else. */
async function tryAppend(path: string, text: string): Promise<boolean> {
  const file = await open(path, "r+").catch((thrown: unknown) => {
    if (isMissing(thrown)) return open(path, "wx+", 0o600)
    throw thrown
  })
  try {
    const { size } = await file.stat()
    if (size === 0) {
      await file.write(`[\n${text}\n]`, 0)
      return true
    }
    const place = await placeFor(file, size)
    if (place === undefined) return false
    const lead = place.isFirst ? "\n" : ",\n"
    const bytes = Buffer.from(`${lead}${text}\n]`)
    await file.write(bytes, 0, bytes.length, place.at)
    if (place.at + bytes.length < size) await file.truncate(place.at + bytes.length)
    return true
  } finally {
    await file.close()
  }
}

type OpenFile = Awaited<ReturnType<typeof open>>

/** Behind the last record, or behind the opening bracket. */
async function placeFor(file: OpenFile, size: number): Promise<{ at: number; isFirst: boolean } | undefined> {
  const from = Math.max(0, size - TAIL_BYTES)
  const head = await read(file, 0, Math.min(size, HEAD_BYTES))
  const tail = await read(file, from, size - from)
  if (!/^\s*\[/.test(head)) return undefined
  // A record ends in a brace; what stands before may be cut within a character, which latin1 does not mind.
  const end = /([}[])\s*\]\s*$/.exec(tail)
  if (end === null) return undefined
  return { at: from + end.index + 1, isFirst: end[1] === "[" }
}

async function read(file: OpenFile, at: number, length: number): Promise<string> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at)
  return buffer.toString("latin1", 0, bytesRead)
}

function isMissing(thrown: unknown): boolean {
  return thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT"
}
