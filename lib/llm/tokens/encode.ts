/**
 * Counts texts with gpt-tokenizer's tables and patterns: the work of the counting thread, pure so that tests call it
 * directly. The pair merging is ours (merge.ts): on byte strings (a character a byte) it takes a third of the library's
 * time, holds on to no text, bears a megabyte of one letter, and knows no special tokens, so "<|endoftext|>" in a user's
 * text is text. Tests compare the counts. Loading a table takes 0.15 s and 60 MB, so never on the main thread.
 */
import type { TableName } from "./encodings.ts"
import { countMerged } from "./merge.ts"

/** What a text counts. Not exact: it was cut where the tokenizer would not have cut it, as vocabulary.ts does. */
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
  return texts.map((text) => ({ tokens: countPart(table, text), exact: true }))
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

function countPart(table: Table, text: string): number {
  let tokens = 0
  for (const piece of text.match(table.pattern) ?? []) tokens += countPiece(table, piece)
  return tokens
}

function countPiece({ ranks, known }: Table, piece: string): number {
  if (piece.length > PIECE_CHARS_MAX) return countMerged(ranks, bytesOf(piece))
  const before = known.get(piece)
  if (before !== undefined) return before
  const tokens = countMerged(ranks, bytesOf(piece))
  if (known.size >= PIECES_KNOWN_MAX) known.clear()
  known.set(piece, tokens)
  return tokens
}
