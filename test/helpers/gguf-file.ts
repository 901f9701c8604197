/**
 * Writes the beginning of a GGUF file: its metadata, without tensors. Texts, whole numbers, floats, yes and no, and
 * lists of these. Source: ggml, docs/gguf.md, version 3.
 */
export type GgufValue = string | number | boolean | readonly string[] | readonly number[]

const STRING = 8
const ARRAY = 9

/** Numbers are 32 bits: whole ones unsigned, the scores of tokens floats, other lists signed. */
export function ggufFile(metadata: Readonly<Record<string, GgufValue>>): Buffer {
  const entries = Object.entries(metadata)
  const pairs = entries.map(([key, value]) => Buffer.concat([text(key), valued(key, value)]))
  return Buffer.concat([Buffer.from("GGUF"), u32(3), u64(0), u64(entries.length), ...pairs])
}

function valued(key: string, value: GgufValue): Buffer {
  if (typeof value === "string") return Buffer.concat([u32(STRING), text(value)])
  if (typeof value === "boolean") return Buffer.concat([u32(7), Buffer.from([value ? 1 : 0])])
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
