/**
 * Counts texts with gpt-tokenizer's tables: the work of the counting thread, pure so that tests call it directly.
 * A text is cut by the encoding's own pattern and each piece counted once: most words of a text repeat, and a look-up
 * is three times cheaper than the library's own walk. Loading a table takes 0.1 s and 60 MB, so never on the main thread.
 */
import type { TableName } from "./encodings.ts"
import { RUN_CHARS_MAX, splitRuns } from "./runs.ts"

/** What a text counts. Not exact: it was cut where the tokenizer would not have cut it, or only sampled. */
export interface Counted {
  readonly tokens: number
  readonly exact: boolean
}

interface Table {
  readonly pattern: RegExp
  /** Tokens of any text, special tokens in it taken as text. */
  count(text: string): number
  /** Forgets what the library remembers; its keys hold on to whole texts. */
  clear(): void
  readonly known: Map<string, number>
}

// Short pieces are copied by the engine; longer ones would be slices that keep the whole text they came from alive.
const PIECE_CHARS_MAX = 12
const PIECES_KNOWN_MAX = 50_000

// Of a text in more pieces than these (64 kB of unbroken letters), evenly spread ones are counted and scaled up.
const RUN_PIECES_MAX = 256

/** Special tokens that appear in a user's text are text: without this, counting "<|endoftext|>" throws. */
const AS_TEXT = { disallowedSpecial: new Set<string>() }

const tables = new Map<TableName, Promise<Table>>()

/** Counts each text. Rejects only when the table cannot be loaded. */
export async function countTexts(name: TableName, texts: readonly string[]): Promise<Counted[]> {
  let loading = tables.get(name)
  if (loading === undefined) {
    loading = load(name)
    tables.set(name, loading)
  }
  const table = await loading
  const counts = texts.map((text) => countText(table, text))
  table.clear()
  return counts
}

async function load(name: TableName): Promise<Table> {
  const patterns = await import("gpt-tokenizer/encodingParams/constants")
  const known = new Map<string, number>()
  if (name === "cl100k_base") {
    const { countTokens, clearMergeCache } = await import("gpt-tokenizer/encoding/cl100k_base")
    const count = (text: string): number => countTokens(text, AS_TEXT)
    return { pattern: patterns.CL100K_TOKEN_SPLIT_REGEX, count, clear: clearMergeCache, known }
  }
  const { countTokens, clearMergeCache } = await import("gpt-tokenizer/encoding/o200k_base")
  const count = (text: string): number => countTokens(text, AS_TEXT)
  return { pattern: patterns.O200K_TOKEN_SPLIT_REGEX, count, clear: clearMergeCache, known }
}

function countText(table: Table, text: string): Counted {
  const parts = splitRuns(text)
  if (parts.length === 1) return { tokens: countPart(table, text), exact: true }
  const pieces = parts.filter((part) => part.length <= RUN_CHARS_MAX)
  const step = Math.ceil(pieces.length / RUN_PIECES_MAX)
  const taken = pieces.filter((_, at) => at % step === 0)
  let tokens = taken.reduce((sum, piece) => sum + countPart(table, piece), 0)
  if (step > 1) tokens = Math.ceil((tokens * charsOf(pieces)) / charsOf(taken))
  for (const part of parts) {
    if (part.length > RUN_CHARS_MAX) tokens += countPart(table, part)
  }
  return { tokens, exact: false }
}

function charsOf(parts: readonly string[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0)
}

function countPart(table: Table, text: string): number {
  let tokens = 0
  for (const piece of text.match(table.pattern) ?? []) tokens += countPiece(table, piece)
  return tokens
}

function countPiece(table: Table, piece: string): number {
  if (piece.length > PIECE_CHARS_MAX) return table.count(piece)
  const known = table.known.get(piece)
  if (known !== undefined) return known
  const tokens = table.count(piece)
  if (table.known.size >= PIECES_KNOWN_MAX) table.known.clear()
  table.known.set(piece, tokens)
  return tokens
}
