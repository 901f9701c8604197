/**
 * What the tests have run of each source file, from what V8 counts (NODE_V8_COVERAGE): in every process and thread, of
 * files and of addons' bundles. One line or branch may be in several scripts (a file, a bundle with it); it is covered
 * where any of them ran it, which libraries that merge whole reports do not tell. Plain JavaScript, as run.mjs is.
 */
import { existsSync, readdirSync, readFileSync, unlinkSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { decode } from "@jridgewell/sourcemap-codec"
import { bundleName } from "./typescript/bundle-name.mjs"
import { compiled } from "./typescript/hooks.mjs"

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..")
const MAP = "//# sourceMappingURL=data:application/json;base64,"

/** What a process is told, so that its scripts and its counts are in `folder`. */
export const environment = (folder) => ({ NODE_V8_COVERAGE: folder, LLMPROXY_TEST_SCRIPTS: folder })

export class Coverage {
  /** Scripts by URL and length. */
  #scripts = new Map()
  /** Counts whose script is not known. */
  unknown = 0

  /** Adds the counts in `folder`, and deletes them. Returns the files that cannot be read yet: somebody writes them. */
  async take(folder) {
    const unread = []
    if (!existsSync(folder)) return unread
    for (const name of readdirSync(folder).filter((one) => one.endsWith(".json"))) {
      const file = join(folder, name)
      let result
      try {
        result = JSON.parse(readFileSync(file, "utf8")).result
      } catch {
        unread.push(file)
        continue
      }
      for (const { url, functions } of result) {
        const script = await this.#script(url, functions, folder)
        script?.add(functions)
      }
      unlinkSync(file)
    }
    return unread
  }

  async #script(url, functions, folder) {
    const [path, isBundle] = pathOf(url)
    if (path === undefined) return undefined
    const length = functions[0]?.ranges[0]?.endOffset
    const key = `${path} ${length}`
    if (!this.#scripts.has(key)) {
      const code = isBundle ? bundleOf(folder, path, length) : (await compiled(path)).code
      this.#scripts.set(key, code?.length === length ? new Script(code, dirname(path)) : undefined)
    }
    const script = this.#scripts.get(key)
    if (script === undefined) this.unknown += 1
    return script
  }

  /** By path from the project's folder: how many lines and branches there are, and which of them have not run. */
  files() {
    const files = new Map()
    for (const script of this.#scripts.values()) script?.tell(files)
    return new Map([...files].map(([path, file]) => [relative(ROOT, path), file.summary(path)]))
  }
}

/** The file of one of our scripts, and whether it is a bundle, of which nothing is on the disk any more. */
function pathOf(url) {
  if (!url.startsWith("file:")) return []
  // A module may be loaded anew with a query; an addon's bundle has one in its name.
  const [path] = decodeURIComponent(url.slice("file://".length)).split("?")
  const place = relative(ROOT, path)
  const isThread = /^\.tap[\\/]scripts[\\/]/.test(place)
  return isThread || /^(?:addons|certs|lib)[\\/].*\.ts$/.test(place) ? [path, isThread || url.includes("%3F")] : []
}

function bundleOf(folder, path, length) {
  const file = join(folder, bundleName(path, length))
  return existsSync(file) ? readFileSync(file, "utf8") : undefined
}

class Script {
  /** One for each place of the script that its map knows: where it is, and of what it was made. */
  #places = []
  #sources
  #ran
  /** The places where blocks begin that V8 counts by themselves. */
  #blocks = new Set()

  constructor(code, folder) {
    const at = code.lastIndexOf(MAP)
    const map = JSON.parse(Buffer.from(code.slice(at + MAP.length).split("\n")[0], "base64").toString("utf8"))
    this.#sources = map.sources.map((source) => resolve(folder, source))
    let start = 0
    const lines = decode(map.mappings)
    for (const [row, text] of code.split("\n").entries()) {
      for (const [column, source, line, from] of lines[row] ?? [])
        if (source !== undefined) this.#places.push({ offset: start + column, source, line, column: from })
      start += text.length + 1
    }
    this.#ran = new Uint8Array(this.#places.length)
  }

  add(functions) {
    const counts = new Float64Array(this.#places.length)
    // V8 tells outer functions before those within, and a block before those within.
    for (const { ranges, isBlockCoverage } of functions)
      for (const { startOffset, endOffset, count } of ranges) {
        const [from, to] = [this.#first(startOffset), this.#first(endOffset)]
        // A function that nobody called is told without its blocks: its lines say it.
        if (isBlockCoverage && from < to) this.#blocks.add(from)
        counts.fill(count, from, to)
      }
    for (const [place, count] of counts.entries()) if (count > 0) this.#ran[place] = 1
  }

  /** The first place at `offset` or behind it. */
  #first(offset) {
    let [low, high] = [0, this.#places.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#places[middle].offset < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  tell(files) {
    for (const [at, { source, line, column }] of this.#places.entries()) {
      const path = this.#sources[source]
      if (!/\.ts$/.test(path) || !existsSync(path)) continue
      if (!files.has(path)) files.set(path, new SourceFile())
      files.get(path).add(line, column, this.#ran[at] === 1, this.#blocks.has(at))
    }
  }
}

class SourceFile {
  /** By line and column: whether it ran, and whether a block begins there. */
  #places = new Map()

  add(line, column, ran, isBlock) {
    const key = line * 1_000 + column
    const place = this.#places.get(key) ?? { line, ran: false, isBlock: false }
    place.ran ||= ran
    place.isBlock ||= isBlock
    this.#places.set(key, place)
  }

  summary(path) {
    const ran = new Map()
    for (const { line, ran: did } of this.#places.values()) ran.set(line, (ran.get(line) ?? false) || did)
    const missed = []
    let before = true
    const lines = readFileSync(path, "utf8").trimEnd().split("\n")
    for (const line of lines.keys()) {
      // A line without code belongs to the one before it.
      before = ran.get(line) ?? before
      if (!before) missed.push(line + 1)
    }
    const blocks = [...this.#places.values()].filter(({ isBlock }) => isBlock)
    const missedBlocks = blocks.filter((block) => !block.ran).map(({ line }) => line + 1)
    return {
      lines: percent(lines.length - missed.length, lines.length),
      branches: percent(blocks.length - missedBlocks.length, blocks.length),
      missed,
      missedBlocks: missedBlocks.sort((one, other) => one - other),
    }
  }
}

function percent(part, all) {
  return all === 0 ? 100 : Math.floor((part / all) * 1_000) / 10
}
