/**
 * Counts texts with gpt-tokenizer's tables and patterns: the work of the counting thread, pure so that tests call it
 * directly. The pair merging is ours: on byte strings (a character a byte) it takes a third of the library's time, holds
 * on to no text, and knows no special tokens, so "<|endoftext|>" in a user's text is text. Tests compare the counts.
 * Loading a table takes 0.15 s and 60 MB, so never on the main thread.
 */
import type { TableName } from "./encodings.ts"
import { RUN_CHARS_MAX, splitRuns } from "./runs.ts"

/** What a text counts. Not exact: it was cut where the tokenizer would not have cut it, or only sampled. */
export interface Counted {
  readonly tokens: number
  readonly exact: boolean
}

interface Table {
  /** Cuts a text into the pieces within which bytes are merged. */
  readonly pattern: RegExp
  /** Which byte strings are tokens; the lower the rank, the earlier a pair becomes one. */
  readonly ranks: ReadonlyMap<string, number>
  /** Tokens of pieces that came before. */
  readonly known: Map<string, number>
}

// Short pieces are copied by the engine; longer ones would be slices that keep the whole text they came from alive.
const PIECE_CHARS_MAX = 12
const PIECES_KNOWN_MAX = 50_000

// Of a text in more pieces than these (32 kB of unbroken letters), evenly spread ones are counted and scaled up.
const RUN_PIECES_MAX = 128

// The first long text takes twice its time while the engine still interprets; the table's own words come before it.
const WARM_UP_TOKENS = 20_000

const ASCII = /^[\0-\x7f]*$/

const tables = new Map<TableName, Promise<Table>>()

/** Counts each text. Rejects only when the table cannot be loaded. */
export async function countTexts(name: TableName, texts: readonly string[]): Promise<Counted[]> {
  let loading = tables.get(name)
  if (loading === undefined) {
    loading = load(name)
    tables.set(name, loading)
  }
  const table = await loading
  return texts.map((text) => countText(table, text))
}

async function load(name: TableName): Promise<Table> {
  const patterns = await import("gpt-tokenizer/encodingParams/constants")
  if (name === "cl100k_base") {
    const { default: tokens } = await import("gpt-tokenizer/bpeRanks/cl100k_base")
    return tableFrom(tokens, patterns.CL100K_TOKEN_SPLIT_REGEX)
  }
  const { default: tokens } = await import("gpt-tokenizer/bpeRanks/o200k_base")
  return tableFrom(tokens, patterns.O200K_TOKEN_SPLIT_REGEX)
}

/** A token is a text, or its bytes where they are no whole text; its place in the list is its rank. */
function tableFrom(tokens: readonly (string | readonly number[])[], pattern: RegExp): Table {
  const ranks = new Map<string, number>()
  tokens.forEach((token, rank) => {
    ranks.set(typeof token === "string" ? bytesOf(token) : Buffer.from(token).toString("latin1"), rank)
  })
  const table = { pattern, ranks, known: new Map<string, number>() }
  const words = tokens.slice(0, WARM_UP_TOKENS).filter((token) => typeof token === "string")
  countPart(table, words.join(""))
  return table
}

function bytesOf(text: string): string {
  return ASCII.test(text) ? text : Buffer.from(text).toString("latin1")
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

function countPiece({ ranks, known }: Table, piece: string): number {
  if (piece.length > PIECE_CHARS_MAX) return countBytes(ranks, bytesOf(piece))
  const before = known.get(piece)
  if (before !== undefined) return before
  const tokens = countBytes(ranks, bytesOf(piece))
  if (known.size >= PIECES_KNOWN_MAX) known.clear()
  known.set(piece, tokens)
  return tokens
}

function countBytes(ranks: ReadonlyMap<string, number>, bytes: string): number {
  return ranks.has(bytes) ? 1 : mergeBytes(ranks, bytes)
}

/**
 * Byte pair encoding: joins the two neighbours whose union has the lowest rank until no union is a token. Quadratic in
 * the piece's length, which splitRuns bounds.
 */
function mergeBytes(ranks: ReadonlyMap<string, number>, bytes: string): number {
  const starts = Array.from({ length: bytes.length + 1 }, (_, at) => at)
  const unionRank = (at: number): number =>
    at + 2 < starts.length ? (ranks.get(bytes.slice(starts[at], starts[at + 2])) ?? Infinity) : Infinity
  const unions = starts.map((at) => unionRank(at))
  for (;;) {
    let lowest = Infinity
    let at = -1
    for (let index = 0; index < starts.length; index++) {
      const rank = unions[index] ?? Infinity
      if (rank >= lowest) continue
      lowest = rank
      at = index
    }
    if (at === -1) return starts.length - 1
    starts.splice(at + 1, 1)
    unions.splice(at + 1, 1)
    unions[at] = unionRank(at)
    if (at > 0) unions[at - 1] = unionRank(at - 1)
  }
}
