/**
 * Bytes of one direction to frames, strictly by RFC 6455: what it does not understand it refuses, for what is not
 * understood must not be passed on. Pure. Control frames come whole; data frames come as a head, pieces and an end, each
 * with the bytes as they stood on the wire, so that a frame that nobody changes can leave as it came. It holds a frame's
 * head or a control frame, never more. Texts, compression and closing are left to others.
 */
import {
  applyMask,
  BINARY,
  CLOSE,
  CONTINUATION,
  CONTROL_BYTES_MAX,
  type ControlOpcode,
  type DataOpcode,
  type FrameHead,
  LENGTH_7_MAX,
  LENGTH_16,
  LENGTH_16_MAX,
  MASK_BYTES,
  PING,
  PONG,
  TEXT,
} from "./frame.ts"
import { WebSocketViolation } from "./violation.ts"

export type FrameEvent =
  | { readonly type: "head"; readonly head: FrameHead; readonly raw: Buffer }
  /** A piece of the payload: masked, if the frame is. */
  | { readonly type: "data"; readonly raw: Buffer }
  /** The frame is whole. */
  | { readonly type: "end" }
  /** `payload` is unmasked. */
  | { readonly type: "control"; readonly opcode: ControlOpcode; readonly payload: Buffer; readonly raw: Buffer }

export interface FrameParserOptions {
  /** Who sends what is parsed: a client must mask its frames, a server must not (RFC 6455, 5.1). */
  readonly from: "client" | "server"
  /** Whether permessage-deflate was agreed on, so that RSV1 has a meaning. */
  readonly deflate: boolean
}

/** What the first two bytes and the length say. */
interface Start {
  readonly opcode: number
  readonly fin: boolean
  readonly compressed: boolean
  readonly length: number
  /** Bytes of the whole head, mask included. */
  readonly headBytes: number
}

const NOTHING: Buffer = Buffer.alloc(0)
const END: FrameEvent = { type: "end" }

export class FrameParser {
  readonly #from: "client" | "server"
  readonly #deflate: boolean
  /** A head or a control frame that is not whole yet. */
  #partial: Buffer = NOTHING
  /** Bytes of payload that the present data frame still owes; undefined between two frames. */
  #left: number | undefined
  /** A message has begun and its last frame has not come. */
  #inMessage = false

  constructor({ from, deflate }: FrameParserOptions) {
    this.#from = from
    this.#deflate = deflate
  }

  /** What `bytes` completes. Throws a WebSocketViolation; after that the parser is of no use. */
  *feed(bytes: Buffer): Generator<FrameEvent, void> {
    let rest = this.#partial.length === 0 ? bytes : Buffer.concat([this.#partial, bytes])
    this.#partial = NOTHING
    for (;;) {
      if (this.#left !== undefined) {
        const piece = rest.subarray(0, this.#left)
        if (piece.length > 0) yield { type: "data", raw: piece }
        rest = rest.subarray(piece.length)
        this.#left -= piece.length
        if (this.#left > 0) return
        this.#left = undefined
        yield END
      }
      const start = this.#start(rest)
      const needed = start === undefined ? Number.POSITIVE_INFINITY : wholeBytes(start)
      if (start === undefined || rest.length < needed) {
        // A copy: the view would keep a whole chunk of the socket's alive.
        this.#partial = Buffer.from(rest)
        return
      }
      const raw = rest.subarray(0, needed)
      rest = rest.subarray(needed)
      yield this.#event(start, raw)
    }
  }

  #event({ opcode, fin, compressed, length, headBytes }: Start, raw: Buffer): FrameEvent {
    const mask = this.#from === "client" ? raw.subarray(headBytes - MASK_BYTES, headBytes) : undefined
    if (isControl(opcode)) {
      const payload = Buffer.from(raw.subarray(headBytes))
      if (mask !== undefined) applyMask(payload, mask, 0, payload)
      return { type: "control", opcode, payload, raw }
    }
    this.#left = length
    this.#inMessage = !fin
    return { type: "head", head: { opcode: opcode as DataOpcode, fin, compressed, length, mask }, raw }
  }

  /** Reads and checks what can be told so far; undefined: more bytes are needed. */
  #start(bytes: Buffer): Start | undefined {
    const [first, second] = bytes
    if (first === undefined) return undefined
    const opcode = first & 0x0f
    const fin = (first & 0x80) !== 0
    const compressed = (first & 0x40) !== 0
    this.#checkFirst(first, opcode, fin, compressed)
    if (second === undefined) return undefined
    const masked = (second & 0x80) !== 0
    if (masked !== (this.#from === "client"))
      throw new WebSocketViolation(masked ? "a server's frame is masked" : "a client's frame is not masked")
    const short = second & 0x7f
    if (isControl(opcode) && short > CONTROL_BYTES_MAX)
      throw new WebSocketViolation(`a control frame has more than ${CONTROL_BYTES_MAX} bytes`)
    const lengthBytes = short <= LENGTH_7_MAX ? 0 : short === LENGTH_16 ? 2 : 8
    if (bytes.length < 2 + lengthBytes) return undefined
    const length = lengthBytes === 0 ? short : readLength(bytes, short)
    return { opcode, fin, compressed, length, headBytes: 2 + lengthBytes + (masked ? MASK_BYTES : 0) }
  }

  #checkFirst(first: number, opcode: number, fin: boolean, compressed: boolean): void {
    if ((first & 0x30) !== 0) throw new WebSocketViolation("RSV2 or RSV3 is set, and no extension gives it a meaning")
    if (isControl(opcode)) {
      if (!fin) throw new WebSocketViolation("a control frame is fragmented")
      if (compressed) throw new WebSocketViolation("RSV1 is set in a control frame")
      return
    }
    if (opcode !== CONTINUATION && opcode !== TEXT && opcode !== BINARY)
      throw new WebSocketViolation(`the opcode 0x${opcode.toString(16)} is reserved`)
    const continues = opcode === CONTINUATION
    if (continues && !this.#inMessage) throw new WebSocketViolation("a continuation frame continues nothing")
    if (!continues && this.#inMessage)
      throw new WebSocketViolation("a message begins before the one before it has ended")
    if (compressed && (continues || !this.#deflate))
      throw new WebSocketViolation("RSV1 is set where no extension gives it a meaning")
  }
}

function isControl(opcode: number): opcode is ControlOpcode {
  return opcode === CLOSE || opcode === PING || opcode === PONG
}

/** Bytes that have to be there for one event: a data frame's head, or a control frame. */
function wholeBytes({ opcode, headBytes, length }: Start): number {
  return isControl(opcode) ? headBytes + length : headBytes
}

/** RFC 6455, 5.2: the shortest form has to be used, and the highest bit is zero. */
function readLength(bytes: Buffer, short: number): number {
  if (short === LENGTH_16) {
    const length = bytes.readUInt16BE(2)
    if (length <= LENGTH_7_MAX) throw new WebSocketViolation("a frame's length is not in its shortest form")
    return length
  }
  const length = bytes.readBigUInt64BE(2)
  if (length > Number.MAX_SAFE_INTEGER) throw new WebSocketViolation("a frame's length is out of range")
  if (length <= LENGTH_16_MAX) throw new WebSocketViolation("a frame's length is not in its shortest form")
  return Number(length)
}
