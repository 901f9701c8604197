/**
 * A model's vocabulary from a file, a tokenizer.json or a GGUF file, in a thread of its own: both ends of it, because
 * the thread's entry is this same file. Reading takes up to a second and 300 MB, so never on the main thread. What the
 * files mean is lib/llm/tokens; which model has which file is who opens them.
 */
import { open, readFile, stat } from "node:fs/promises"
import { basename } from "node:path"
import { isMainThread, parentPort, workerData } from "node:worker_threads"
import type { Clock } from "../base/clock.ts"
import { messageOf, systemCodeOf } from "../base/errors.ts"
import { isObject, parseJson } from "../base/json.ts"
import { tokenizerFromGguf } from "../llm/tokens/gguf-vocabulary.ts"
import { type TextTokenizer, tokenizerFromJson, Vocabulary } from "../llm/tokens/vocabulary.ts"
import { VocabularyCounter } from "../llm/tokens/vocabulary-counter.ts"
import { CountingThread, serveCounts } from "../llm/tokens/worker-client.ts"

/** The largest vocabularies in use are 35 MB of JSON; their maps take ten times as much. */
const JSON_BYTES_MAX = 134_217_728
const HEAP_MIB_MAX = 1_536

const GGUF_MAGIC = "GGUF"

export interface VocabularyOptions {
  /** Hears why a count had to be estimated. */
  readonly onFailure?: (error: unknown) => void
  /** The thread's module. Default: this file. */
  readonly script?: URL
  /** Default: the system's. */
  readonly clock?: Clock
}

/**
 * Rejects with an Error that names the file and what is wrong with it; its name is "InexactVocabularyError" where the
 * file is right and only cannot be counted with exactly.
 */
export async function openVocabulary(file: string, options: VocabularyOptions = {}): Promise<VocabularyCounter> {
  const backend = new CountingThread({
    script: options.script ?? new URL(import.meta.url),
    data: { vocabulary: file },
    heapMibMax: HEAP_MIB_MAX,
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  })
  try {
    await backend.count("text", [""])
  } catch (thrown) {
    await backend.close()
    const error = new Error(`${file}: ${messageOf(thrown).replace(/^count tokens: /, "")}`, { cause: thrown })
    if (thrown instanceof Error) error.name = thrown.name
    throw error
  }
  return new VocabularyCounter(basename(file), { backend, onFailure: options.onFailure })
}

/** Reads a file. Rejects with an Error that says what is wrong, without the file's name. */
export async function readVocabulary(file: string): Promise<Vocabulary> {
  try {
    return new Vocabulary(await readTokenizer(file))
  } catch (thrown) {
    const code = systemCodeOf(thrown)
    if (code === "ENOENT") throw new Error("no such file")
    if (code === "EISDIR") throw new Error("this is a folder")
    throw thrown
  }
}

async function readTokenizer(file: string): Promise<TextTokenizer> {
  const { size } = await stat(file)
  if (await beginsAsGguf(file)) return readGguf(file, size)
  if (size > JSON_BYTES_MAX) throw new Error(`${size} bytes are too many for a tokenizer.json, and it is no GGUF file`)
  const json = parseJson(await readFile(file, "utf8"))
  if (!isObject(json)) throw new Error("it is neither JSON nor a GGUF file")
  return tokenizerFromJson(json)
}

async function beginsAsGguf(file: string): Promise<boolean> {
  const handle = await open(file)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(GGUF_MAGIC.length), 0, GGUF_MAGIC.length, 0)
    return buffer.toString("latin1", 0, bytesRead) === GGUF_MAGIC
  } finally {
    await handle.close()
  }
}

async function readGguf(file: string, size: number): Promise<TextTokenizer> {
  const { gguf } = await import("@huggingface/gguf")
  const { metadata, tensorInfoByteRange } = await gguf(file, { allowLocalFile: true }).catch((thrown: unknown) => {
    throw new Error(`its metadata cannot be read (${messageOf(thrown)})`)
  })
  // The library reads zeros behind the end of a file.
  if (tensorInfoByteRange[1] > size) throw new Error("its metadata is cut off: the file is not whole")
  return tokenizerFromGguf({ ...metadata })
}

/** The thread's side. */
if (!isMainThread && isObject(workerData) && typeof workerData.vocabulary === "string" && parentPort !== null) {
  const reading = readVocabulary(workerData.vocabulary)
  reading.catch(() => undefined) // Every count tells it.
  serveCounts(parentPort, async (table, texts) => {
    const vocabulary = await reading
    return texts.map((text) => (table === "prompt" ? vocabulary.countPrompt(text) : vocabulary.count(text)))
  })
}
