/**
 * Reads config.yaml: the program's own options by name, an addon's below its name. What the values mean is left to
 * options.ts; here only the file is judged. The parser is loaded when there is a file, because most starts have none.
 */
import { readFile } from "node:fs/promises"
import { messageOf, systemCodeOf, UsageError } from "../base/errors.ts"
import type { ConfigValues } from "./sources.ts"

/** Reads `path`. A missing file is no error unless `named`: the person gave --config. Throws a UsageError with the line. */
export async function readConfigFile(path: string, named: boolean): Promise<ConfigValues | undefined> {
  let text: string
  try {
    text = await readFile(path, "utf8")
  } catch (error) {
    const code = systemCodeOf(error)
    // ENOTDIR: the confdir is a file, which is the CA's to complain of.
    if (!named && (code === "ENOENT" || code === "ENOTDIR")) return undefined
    const hint = code === "ENOENT" ? "there is no such file" : `cannot be read (${code ?? messageOf(error)})`
    throw new UsageError(`config file ${path}: ${hint}`)
  }
  return await parseConfig(text, path)
}

async function parseConfig(text: string, path: string): Promise<ConfigValues> {
  const { isNode, LineCounter, parseDocument } = await import("yaml")
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { prettyErrors: true, lineCounter })
  const [error] = document.errors
  if (error !== undefined) {
    const at = error.linePos?.[0]
    // The parser's message goes on with a drawing of the line: the first line says it.
    const said = (error.message.split("\n")[0] ?? "").replace(/ at line \d+, column \d+:?$/, "")
    throw new UsageError(`config file ${path}${at === undefined ? "" : `:${at.line}:${at.col}`}: ${said}`)
  }
  let value: unknown
  try {
    value = document.toJS()
  } catch (thrown) {
    throw new UsageError(`config file ${path}: ${messageOf(thrown)}`)
  }
  if (value === null || value === undefined) return { path, values: {} }
  if (typeof value !== "object" || Array.isArray(value))
    throw new UsageError(`config file ${path}:1:1: must hold options by name, as in "port: 8080"`)
  const lineOf = (...keys: (string | number)[]) => {
    const node = document.getIn(keys, true)
    return isNode(node) && node.range ? lineCounter.linePos(node.range[0]).line : undefined
  }
  return { path, values: Object.fromEntries(Object.entries(value)), lineOf }
}
