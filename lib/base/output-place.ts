/**
 * What a path that is written to leads to. A regular file is replaced as a whole, by renaming one written beside it; a
 * FIFO or a device is written to as it is, because renaming would put a file in its place; a link is followed, because
 * renaming would put a file in its place as well. Whoever replaces uses a partial name that nobody can have planted.
 */
import { randomBytes } from "node:crypto"
import { constants, openSync, type Stats } from "node:fs"
import { type FileHandle, lstat, open, realpath, rename, rm, stat } from "node:fs/promises"
import { Socket } from "node:net"
import { basename, dirname, join } from "node:path"
import { type Clock, systemClock } from "./clock.ts"
import { messageOf, systemCodeOf } from "./errors.ts"

/** What is written may hold prompts. */
const PRIVATE_FILE = 0o600
/** Windows has no such flag, and no FIFO that would need it. */
const NONBLOCK = constants.O_NONBLOCK ?? 0
/** Milliseconds until a device that took nothing is asked again, at first and at last. */
const DEVICE_PAUSE_MS_MIN = 1
const DEVICE_PAUSE_MS_MAX = 50

export type OutputPlace =
  /** `path`: where the file itself is. `mode`: of the one that is there; undefined: none is. */
  | { readonly kind: "file"; readonly path: string; readonly mode: number | undefined }
  | { readonly kind: "stream"; readonly path: string; readonly isFifo: boolean }

/** Throws an Error for a folder and for a link to nothing. */
export async function outputPlace(path: string): Promise<OutputPlace> {
  const found = await stat(path).catch(unlessMissing)
  if (found === undefined) {
    const link = await lstat(path).catch(unlessMissing)
    if (link === undefined) return { kind: "file", path, mode: undefined }
    if (link.isSymbolicLink()) throw new Error("it is a link to a file that is not there")
    return await outputPlace(path) // Another program has just made it.
  }
  if (found.isDirectory()) throw new Error("it is a folder")
  // An open file of a process (/dev/stdout) has a reader at its other end, whatever it is.
  if (!found.isFile() || isOpenFile(path)) return { kind: "stream", path, isFifo: found.isFIFO() }
  return { kind: "file", path: await realpath(path), mode: found.mode & 0o777 }
}

function isOpenFile(path: string): boolean {
  return /^\/dev\/(stdin|stdout|stderr|fd\/\d+)$|^\/proc\/[^/]+\/fd\/\d+$/.test(path)
}

function unlessMissing(thrown: unknown): Stats | undefined {
  if (systemCodeOf(thrown) === "ENOENT") return undefined
  throw thrown
}

/** A file that gets its name once it is whole. */
export interface PartialFile {
  write(content: string | Uint8Array): Promise<void>
  /** Gives it the name; the file that had it is gone, its mode stays. */
  end(): Promise<void>
  /** Leaves the old file as it was. */
  abandon(): Promise<void>
}

/** Begins a file beside `place`, under a random name and never over another file. `newMode`: where none is there yet. */
export async function beginFile(
  place: Extract<OutputPlace, { kind: "file" }>,
  newMode = PRIVATE_FILE,
): Promise<PartialFile> {
  const mode = place.mode ?? newMode
  const partial = join(dirname(place.path), `.${basename(place.path)}.${randomBytes(6).toString("hex")}.tmp`)
  const handle = await open(partial, "wx", mode)
  const abandon = async () => {
    await handle.close()
    await rm(partial, { force: true })
  }
  try {
    await handle.chmod(mode)
  } catch (thrown) {
    await abandon()
    throw thrown
  }
  return {
    write: (content) => handle.writeFile(content),
    async end() {
      try {
        await handle.sync()
        await handle.close()
        await rename(partial, place.path)
      } finally {
        await rm(partial, { force: true })
      }
    },
    abandon,
  }
}

/** A FIFO or a device that is written to piece by piece. */
export interface OutputStream {
  /** Resolves when the other side has taken it, or the system keeps it. Rejects when that is over. */
  write(text: string): Promise<void>
  /** Resolves when all is out. */
  close(): Promise<void>
  /** Closes now, whatever waits. */
  abandon(): void
}

/**
 * Opens what is no regular file. Nothing here blocks: a FIFO that nobody reads is refused with ENXIO, where a plain open
 * would wait for its reader in a thread that no signal ends.
 */
export async function openStream(
  { path, isFifo }: Extract<OutputPlace, { kind: "stream" }>,
  clock: Clock = systemClock,
): Promise<OutputStream> {
  const flags = constants.O_WRONLY | constants.O_APPEND | NONBLOCK
  if (isFifo) return fifoStream(new Socket({ fd: openSync(path, flags), readable: false, writable: true }))
  return new DeviceStream(await open(path, flags), clock)
}

/** A device that takes no more for now (a terminal that is slow, or was stopped) is asked again, so that no thread waits in it. */
class DeviceStream implements OutputStream {
  readonly #handle: FileHandle
  readonly #clock: Clock
  #isAbandoned = false
  #wake: (() => void) | undefined

  constructor(handle: FileHandle, clock: Clock) {
    this.#handle = handle
    this.#clock = clock
  }

  async write(text: string): Promise<void> {
    let bytes: Uint8Array = Buffer.from(text)
    let pause = DEVICE_PAUSE_MS_MIN
    while (bytes.length > 0) {
      if (this.#isAbandoned) throw new Error("it was closed before all was written")
      const written = await this.#taken(bytes)
      bytes = bytes.subarray(written)
      if (written > 0) pause = DEVICE_PAUSE_MS_MIN
      else {
        await this.#wait(pause)
        pause = Math.min(2 * pause, DEVICE_PAUSE_MS_MAX)
      }
    }
  }

  close(): Promise<void> {
    return this.#handle.close()
  }

  abandon(): void {
    this.#isAbandoned = true
    this.#wake?.()
    // Whatever the system says of the closing, nobody waits for it.
    void this.close().catch(() => {})
  }

  async #taken(bytes: Uint8Array): Promise<number> {
    try {
      return (await this.#handle.write(bytes)).bytesWritten
    } catch (thrown) {
      if (systemCodeOf(thrown) === "EAGAIN") return 0
      throw thrown
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isAbandoned) return resolve()
      const alive = setInterval(() => {}, DEVICE_PAUSE_MS_MAX) // A clock's timer keeps no process alive.
      const timer = this.#clock.after(ms, () => this.#wake?.())
      this.#wake = () => {
        this.#wake = undefined
        clearInterval(alive)
        timer.cancel()
        resolve()
      }
    })
  }
}

/** Waits for a full pipe without a thread. */
function fifoStream(socket: Socket): OutputStream {
  let failure: Error | undefined
  socket.on("error", (error) => {
    failure = error
  })
  return {
    write: (text) =>
      new Promise((resolve, reject) => {
        if (failure !== undefined) reject(failure)
        else socket.write(text, (error) => (error === undefined || error === null ? resolve() : reject(error)))
      }),
    close: () =>
      new Promise((resolve, reject) => {
        if (socket.destroyed) resolve()
        else
          socket.once("close", () => (failure === undefined ? resolve() : reject(failure))).end(() => socket.destroy())
      }),
    abandon: () => void socket.destroy(),
  }
}

/**
 * A file for appending, made 0600 where there is none, as a file descriptor. A FIFO is opened only when somebody reads it
 * (else ENXIO), so that this never blocks. Throws what the system says.
 */
export function openForAppending(path: string): number {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | NONBLOCK, PRIVATE_FILE)
  } catch (thrown) {
    if (systemCodeOf(thrown) !== "ENXIO") throw thrown
    throw Object.assign(new Error(`nobody reads this FIFO (${messageOf(thrown)})`), { code: "ENXIO" })
  }
}
