/**
 * Writes GGUF files: metadata (texts, whole numbers, floats, yes and no, and lists of these) and, where there are any,
 * tensors of 32-bit floats. Source: ggml, docs/gguf.md, version 3.
 */
export type GgufValue = string | number | boolean | readonly string[] | readonly number[]

const STRING = 8
const ARRAY = 9

export interface GgufTensor {
  readonly name: string
  /** The innermost first, as GGUF has them. */
  readonly sizes: readonly number[]
  readonly values: Float32Array
}

/** Where a tensor's bytes may begin. */
const ALIGNMENT = 32

/** Numbers are 32 bits: whole ones unsigned, the scores of tokens and an epsilon floats, other lists signed. */
export function ggufFile(metadata: Readonly<Record<string, GgufValue>>, tensors: readonly GgufTensor[] = []): Buffer {
  const entries = Object.entries(metadata)
  const pairs = entries.map(([key, value]) => Buffer.concat([text(key), valued(key, value)]))
  const head = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(entries.length), ...pairs]
  const data: Buffer[] = []
  let offset = 0
  for (const { name, sizes, values } of tensors) {
    head.push(text(name), u32(sizes.length), ...sizes.map(u64), u32(0), u64(offset))
    const bytes = padded(Buffer.from(values.buffer, values.byteOffset, values.byteLength))
    data.push(bytes)
    offset += bytes.length
  }
  return tensors.length === 0 ? Buffer.concat(head) : Buffer.concat([padded(Buffer.concat(head)), ...data])
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT)])
}

function valued(key: string, value: GgufValue): Buffer {
  if (typeof value === "string") return Buffer.concat([u32(STRING), text(value)])
  if (typeof value === "boolean") return Buffer.concat([u32(7), Buffer.from([value ? 1 : 0])])
  if (key.endsWith("epsilon")) return Buffer.concat([u32(6), Buffer.from(new Float32Array([Number(value)]).buffer)])
  if (typeof value === "number") return Buffer.concat([u32(4), u32(value)])
  const head = (type: number) => Buffer.concat([u32(ARRAY), u32(type), u64(value.length)])
  if (value.every((one) => typeof one === "string")) return Buffer.concat([head(STRING), ...value.map(text)])
  const numbers = value.map(Number)
  if (key.endsWith("scores")) return Buffer.concat([head(6), Buffer.from(new Float32Array(numbers).buffer)])
  return Buffer.concat([head(5), Buffer.from(new Int32Array(numbers).buffer)])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([u64(bytes.length), bytes])
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
