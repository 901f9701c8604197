/** The documents as tests read them: their pages, the commands and the code in them. */
import { readdirSync, readFileSync } from "node:fs"

export const PAGES = [
  "README.md",
  ...readdirSync("docs")
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
]

/**
 * Lines that show what may be written or what is printed, not a command; and an addon's own command, which
 * test/api/docs.test.ts runs.
 */
const IS_FORM =
  / tally |\[options\]|\[ACTION\]|\[path\||\[list\||\[status\||^llmproxy (env \[--unset\]|demo|doctor) {2,}|^llmproxy {2,}/

export interface PageCommand {
  /** Variables that stand before it. */
  readonly env: Readonly<Record<string, string>>
  /** What stands behind `llmproxy`, without quotes. */
  readonly argv: readonly string[]
}

/** The llmproxy commands of a page: code that is indented by four columns, in backticks, or behind a shell's "$". */
export function commandsIn(page: string): PageCommand[] {
  const text = readFileSync(page, "utf8")
  const indented = [...text.matchAll(/^ {4,}(?:\$ )?((?:[A-Z_]+=\S+ )*llmproxy(?: [^\n]*)?)$/gm)]
  const quoted = [...text.matchAll(/`(llmproxy [^`\n]+)`/g)]
  return [...indented, ...quoted]
    .map(([, line = ""]) => line.replace(/ +# .*$/, ""))
    .filter((line) => !IS_FORM.test(line) && !line.startsWith("llmproxy listening"))
    .map((line) => [...line.matchAll(/'[^']*'|"[^"]*"|\S+/g)].map(([word]) => word.replace(/^(['"])(.*)\1$/, "$2")))
    .map((words) => {
      const at = words.indexOf("llmproxy")
      const env = words
        .slice(0, at)
        .map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)])
      return { env: Object.fromEntries(env), argv: words.slice(at + 1) }
    })
}

/** The block of code on a page, fenced or indented, that has those words in it. */
export function codeOf(page: string, words: string): string {
  const text = readFileSync(page, "utf8")
  const fenced = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = ""]) => code)
  const indented = (text.match(/(?:^ {4}.*\n|^\n(?= {4}))+/gm) ?? []).map((block) => block.replace(/^ {4}/gm, ""))
  const found = [...fenced, ...indented].find((code) => code.includes(words))
  if (found === undefined) throw new Error(`${page}: no code with ${words}`)
  return found
}
