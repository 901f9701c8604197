/**
 * HTTP/2 written and read frame by frame, for tests of what no well-behaved client sends (RFC 9113 section 4).
 * Heads are written as HPACK literals without indexing; of heads that come, only the status is read.
 */
import { connect as connectTcp, type Socket } from "node:net"

export const TYPE = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const

export const FLAG = { END_STREAM: 1, ACK: 1, END_HEADERS: 4 } as const

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1")

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly id: number
  readonly payload: Buffer
}

export type Fields = readonly (readonly [string, string])[]

export function frame(type: number, flags: number, id: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(id, 5)
  return Buffer.concat([head, payload])
}

export const settings = (payload: Buffer = Buffer.alloc(0)) => frame(TYPE.SETTINGS, 0, 0, payload)
export const ping = () => frame(TYPE.PING, 0, 0, Buffer.alloc(8))
export const data = (id: number, bytes: string | Buffer, flags = 0) => frame(TYPE.DATA, flags, id, Buffer.from(bytes))
export const reset = (id: number, code = 8) => frame(TYPE.RST_STREAM, 0, id, uint32(code))
export const windowUpdate = (id: number, bytes: number) => frame(TYPE.WINDOW_UPDATE, 0, id, uint32(bytes))

/** A head of any fields, malformed ones too. `flags`: END_HEADERS is set unless given otherwise. */
export function headers(id: number, fields: Fields, flags: number = FLAG.END_STREAM | FLAG.END_HEADERS): Buffer {
  return frame(TYPE.HEADERS, flags, id, block(fields))
}

/** HPACK: every field as a literal without indexing (RFC 7541 section 6.2.2). */
export function block(fields: Fields): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]))
}

/** The fields of a request, others after them. */
export function request(path: string, more: Fields = [], method = "GET", authority = "localhost"): Fields {
  return [[":method", method], [":scheme", "http"], [":authority", authority], [":path", path], ...more]
}

/** One connection that speaks in frames. */
export class FrameWire {
  readonly socket: Socket
  /** Every frame that came. */
  readonly frames: Frame[] = []
  /** Resolves when the connection has closed. */
  readonly closed: Promise<void>
  over = false
  answersPings = true
  #rest: Buffer = Buffer.alloc(0)
  #wake: (() => void)[] = []

  constructor(socket: Socket) {
    this.socket = socket
    socket.on("error", () => {}) // A reset is one of the ways in which it may end.
    socket.on("data", (bytes: Buffer) => this.#feed(bytes))
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.over = true
        this.#changed()
        resolve()
      })
    })
  }

  /** Connects and sends the preface. `windowBytes`: what the peer may send on a stream; default: the RFC's. */
  static async open(port: number, windowBytes?: number): Promise<FrameWire> {
    const socket = connectTcp({ port, host: "127.0.0.1", noDelay: true })
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject))
    const wire = new FrameWire(socket)
    const window = windowBytes === undefined ? [] : [Buffer.of(0, 4), uint32(windowBytes)]
    wire.write(PREFACE, settings(Buffer.concat(window)))
    return wire
  }

  write(...frames: Buffer[]): void {
    if (!this.over) this.socket.write(Buffer.concat(frames))
  }

  /** The first frame that fits, once it has come. Rejects when the connection closes before. */
  async until(fits: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = this.frames.find(fits)
      if (found !== undefined) return found
      if (this.over) throw new Error(`closed before the frame came; ${JSON.stringify(this.frames.map(shown))}`)
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  /** The head of an answer as its status. */
  async status(id: number): Promise<number> {
    const { payload } = await this.until((one) => one.type === TYPE.HEADERS && one.id === id)
    return statusOf(payload)
  }

  /** The code with which a stream was reset. */
  async resetOf(id: number): Promise<number> {
    const { payload } = await this.until((one) => one.type === TYPE.RST_STREAM && one.id === id)
    return payload.readUInt32BE(0)
  }

  /** Sends a PING; resolves with its answer, when everything before it has been read. */
  async pong(): Promise<void> {
    const before = this.frames.length
    this.write(ping())
    await this.until((one) => one.type === TYPE.PING && one.flags === FLAG.ACK && this.frames.indexOf(one) >= before)
  }

  /** The code of GOAWAY. */
  async goaway(): Promise<number> {
    const { payload } = await this.until((one) => one.type === TYPE.GOAWAY)
    return payload.readUInt32BE(4)
  }

  /** Whether END_STREAM came on a stream. */
  ended(id: number): boolean {
    return this.frames.some((one) => one.id === id && one.type <= 1 && (one.flags & FLAG.END_STREAM) !== 0)
  }

  /** All DATA of a stream so far. */
  body(id: number): string {
    return Buffer.concat(
      this.frames.filter((one) => one.id === id && one.type === TYPE.DATA).map((one) => one.payload),
    ).toString("latin1")
  }

  #feed(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes])
    while (this.#rest.length >= 9) {
      const length = 9 + this.#rest.readUIntBE(0, 3)
      if (this.#rest.length < length) break
      const [type = 0, flags = 0] = this.#rest.subarray(3, 5)
      const payload = Buffer.from(this.#rest.subarray(9, length))
      this.frames.push({ type, flags, id: this.#rest.readUInt32BE(5) & 0x7fffffff, payload })
      if (type === TYPE.SETTINGS && flags === 0) this.write(frame(TYPE.SETTINGS, FLAG.ACK, 0))
      if (type === TYPE.PING && flags === 0 && this.answersPings) this.write(frame(TYPE.PING, FLAG.ACK, 0, payload))
      this.#rest = this.#rest.subarray(length)
    }
    this.#changed()
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}

function shown({ type, flags, id }: Frame): string {
  return `${type}/${flags}/${id}`
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** RFC 7541 section 5.2, without Huffman. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1")
  return Buffer.concat([integer(bytes.length, 7), bytes])
}

function integer(value: number, bits: number): Buffer {
  const max = 2 ** bits - 1
  if (value < max) return Buffer.of(value)
  const bytes = [max]
  let rest = value - max
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Buffer.from([...bytes, rest])
}

/** RFC 7541 appendix A, entries 8 to 14. */
const INDEXED_STATUS = [200, 204, 206, 304, 400, 404, 500]

/** The status at the beginning of a head: indexed, or a literal whose name is, its three digits plain or Huffman-coded. */
function statusOf(payload: Buffer): number {
  // A change of the dynamic table's size may stand before it (RFC 7541 section 6.3).
  let at = 0
  while (((payload[at] ?? 0) & 0xe0) === 0x20)
    at += ((payload[at] ?? 0) & 0x1f) === 0x1f ? varintLength(payload, at) : 1
  const first = payload[at] ?? 0
  if ((first & 0x80) !== 0) return INDEXED_STATUS[(first & 0x7f) - 8] ?? 0
  const length = payload[at + 1] ?? 0
  const value = payload.subarray(at + 2, at + 2 + (length & 0x7f))
  return Number((length & 0x80) === 0 ? value.toString("latin1") : huffmanDigits(value))
}

function varintLength(payload: Buffer, at: number): number {
  let length = 2
  while (((payload[at + length - 1] ?? 0) & 0x80) !== 0) length++
  return length
}

/** RFC 7541 appendix B for digits: 0 to 2 have five bits, 3 to 9 have six. */
function huffmanDigits(bytes: Buffer): string {
  let bits = ""
  for (const byte of bytes) bits += byte.toString(2).padStart(8, "0")
  let digits = ""
  while (digits.length < 3 && bits.length >= 5) {
    const short = ["00000", "00001", "00010"].indexOf(bits.slice(0, 5))
    digits += short >= 0 ? String(short) : String(Number.parseInt(bits.slice(0, 6), 2) - 0x19 + 3)
    bits = bits.slice(short >= 0 ? 5 : 6)
  }
  return digits
}
