/** Reads the sets of answers in test/fixtures/answers; what a manifest may say is in their README.md. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

const SETS = join(import.meta.dirname, "..", "..", "fixtures", "answers")
const ROOT = join(import.meta.dirname, "..", "..", "..")

interface Excerpt {
  readonly package: string
  readonly lines?: readonly [number, number]
  readonly values?: readonly [number, number]
  readonly joined?: string
}

interface Entry extends Partial<Excerpt> {
  readonly kind: "valid" | "bad"
  readonly what: string
  readonly file?: string
  readonly round?: string
  readonly times?: number
  readonly count?: { readonly from: number; readonly step: number }
  readonly lead?: Excerpt
  readonly before?: string
  readonly tail?: string
  readonly fence?: string
  readonly finish?: "stop" | "length"
  readonly form?: "json"
}

export interface CorpusAnswer {
  readonly set: string
  /** For a message: the set, the entry's number, what it is. */
  readonly name: string
  readonly kind: "valid" | "bad"
  readonly what: string
  readonly text: string
  readonly finish: "stop" | "length"
  readonly asksForJson: boolean
}

export function answerSets(): Map<string, CorpusAnswer[]> {
  const names = readdirSync(SETS).filter((name) => existsSync(join(SETS, name, "manifest.json")))
  return new Map(names.sort().map((name) => [name, answersOf(name)]))
}

function answersOf(set: string): CorpusAnswer[] {
  const entries: Entry[] = JSON.parse(readFileSync(join(SETS, set, "manifest.json"), "utf8"))
  return entries.map((entry, i) => ({
    set,
    name: `${set} ${i}: ${entry.what} (${entry.file ?? entry.package ?? JSON.stringify(entry.round)})`,
    kind: entry.kind,
    what: entry.what,
    text: textOf(set, entry),
    finish: entry.finish ?? "stop",
    asksForJson: entry.form === "json",
  }))
}

function textOf(set: string, entry: Entry): string {
  const { lead, before = "", tail = "", fence } = entry
  const text = before + bodyOf(set, entry) + tail
  const begin = lead === undefined ? "" : `${excerpt(lead)}\n\n`
  if (fence === undefined) return begin + text
  const isOpen = fence.endsWith("?")
  return `${begin}Here it is:\n\n\`\`\`${fence.replace("?", "")}\n${text}${isOpen ? "" : "\n```\n"}`
}

function bodyOf(set: string, entry: Entry): string {
  const { file, round, times = 1, count } = entry
  if (file !== undefined) return readFileSync(join(SETS, set, file), "utf8").replace(/\n$/, "")
  if (entry.package !== undefined) return excerpt({ ...entry, package: entry.package })
  if (round === undefined) throw new Error(`${set}: an entry has no text: ${JSON.stringify(entry)}`)
  if (count === undefined) return round.repeat(times)
  return Array.from({ length: times }, (_, i) => round.replaceAll("{n}", `${count.from + i * count.step}`)).join("")
}

function excerpt({ package: path, lines, values, joined = "\n" }: Excerpt): string {
  const text = readFileSync(join(ROOT, path), "utf8")
  if (values !== undefined)
    return Object.values(JSON.parse(text))
      .slice(...values)
      .join(joined)
  return lines === undefined
    ? text.trim()
    : text
        .split("\n")
        .slice(...lines)
        .join("\n")
}
