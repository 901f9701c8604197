/**
 * `llmproxy history`: lists, shows, exports, sums up and prunes what the history addon has kept. Works beside a running
 * proxy: the connection can only read, save for prune, which waits for its turn as a second proxy would.
 */
import { existsSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { HISTORY_FILE } from "../api/store.ts"
import { didYouMean } from "../base/did-you-mean.ts"
import { messageOf, StartError, systemCodeOf, UsageError } from "../base/errors.ts"
import { makeFolder } from "../base/folders.ts"
import { printable, printableLines } from "../base/log.ts"
import { beginFile, type OutputStream, openStream, outputPlace } from "../base/output-place.ts"
import { databaseOf } from "../options/core.ts"
import { NoChatForm } from "../store/chat-form.ts"
import { EXPORT_FORMATS, type ExportFormat, exporterFor, isAnswered } from "../store/exports.ts"
import { isPostgresUrl } from "../store/places.ts"
import type { Reader } from "../store/reader.ts"
import type { Command, CommandLine } from "./command.ts"
import { FILTER_FLAGS, filterOf, limitOf } from "./history/filters.ts"
import { flowText, listLine, statsText } from "./history/text.ts"
import { PLACE_FLAGS, sourcesOf } from "./proxy-flags.ts"
import { paintFor } from "./terminal/paint.ts"
import type { World } from "./world.ts"

const ACTIONS = ["list", "show", "export", "prune", "stats"] as const

/** Flows that are listed when nobody says how many. */
const LIST_LIMIT = 50
/** Of a folder that an export needs. */
const FOLDER_MODE = 0o755
/** Milliseconds between two looks whether somebody reads a FIFO. */
const FIFO_POLL_MS = 100

export const historyCommand: Command = {
  name: "history",
  usage: "llmproxy history [ACTION] [options]",
  help: "what the history addon has kept: list (default), show ID, export, stats, prune",
  flags: {
    ...FILTER_FLAGS,
    attempts: { type: "switch", help: "List attempts, too: requests that addons sent for a client's." },
    format: {
      type: "text",
      value: "FORMAT",
      help: `Of an export: ${EXPORT_FORMATS.join(", ")}.`,
      default: "openai-jsonl",
    },
    by: {
      type: "text",
      value: "NAMES",
      help: "Of stats: sums and costs by team, tag, key, user, model, route (team,tag).",
    },
    prices: {
      type: "text",
      value: "FILE",
      help: "Of stats --by: prices that count before those that llmproxy brings.",
    },
    output: { type: "text", alias: "o", value: "FILE", help: "Where an export goes.", default: "standard output" },
    "with-truncated": { type: "switch", help: "Of an export: answers that reached their limit of tokens, too." },
    file: {
      type: "text",
      value: "FILE",
      help: "The history to read.",
      default: `that of --database, else ${HISTORY_FILE} in the confdir`,
    },
    ...PLACE_FLAGS,
  },
  words: ACTIONS,
  operands: 1,
  async run(line, world) {
    const [action = "list", operand, ...more] = line.words
    if (operand !== undefined && (action !== "show" || more.length > 0))
      throw new UsageError(`history ${action}: takes no "${more[0] ?? operand}"`)
    const file = await fileOf(line, world)
    if (action === "prune") return await prune(file, line, world)
    const format = formatOf(line)
    const [{ Reader }, { readFailure }] = await Promise.all([
      import("../store/reader.ts"),
      import("../store/database.ts"),
    ])
    const reader = await Reader.open(file)
    try {
      if (action === "show") await show(reader, operand, world)
      else if (action === "export") await exportTo(reader, format, line, world)
      else if (action === "stats") await stats(reader, line, world)
      else await list(reader, line, world)
      return 0
    } catch (thrown) {
      throw readFailure(file, thrown)
    } finally {
      await reader.close()
    }
  },
}

async function fileOf(line: CommandLine, world: World): Promise<string> {
  const named = line.text("file")
  if (named !== undefined) return isPostgresUrl(named) ? named : resolve(world.cwd, named)
  const { sources, confdir } = await sourcesOf(line, world)
  return databaseOf(sources) ?? join(confdir, HISTORY_FILE)
}

async function list(reader: Reader, line: CommandLine, world: World): Promise<void> {
  const paint = await paintFor(world.env, world.out.isTerminal)
  const limit = limitOf(line) ?? LIST_LIMIT
  const flows = await reader.list(filterOf(line, world.clock.now()), limit)
  for (const flow of flows) world.out.write(listLine(flow, paint))
  if (flows.length === 0) world.err.write("no flows\n")
  else if (flows.length === limit && line.text("limit") === undefined)
    world.err.write(`the latest ${limit}; --limit shows more\n`)
}

async function show(reader: Reader, id: string | undefined, world: World): Promise<void> {
  if (id === undefined) throw new UsageError("history show: the id is missing; llmproxy history lists them")
  const paint = await paintFor(world.env, world.out.isTerminal)
  const flow = await reader.flow(id)
  world.out.write(flowText(await reader.exchange(flow), await reader.attempts(flow.id), paint))
}

async function stats(reader: Reader, line: CommandLine, world: World): Promise<void> {
  const paint = await paintFor(world.env, world.out.isTerminal)
  const named = line.text("by")
  if (named !== undefined) {
    const [{ dimensionsOf, grouped, groupedText }, { openPrices }] = await Promise.all([
      import("./history/by.ts"),
      import("../services/prices.ts"),
    ])
    const by = dimensionsOf(named)
    const file = line.text("prices")
    const prices = await openPrices(file === undefined ? undefined : resolve(world.cwd, file))
    const flows = reader.flows({ ...filterOf(line, world.clock.now()), attempts: false })
    world.out.write(groupedText(await grouped(flows, by, prices), by, paint))
    return
  }
  world.out.write(statsText(await reader.stats(filterOf(line, world.clock.now())), paint))
}

function formatOf(line: CommandLine): ExportFormat {
  const text = line.text("format") ?? "openai-jsonl"
  const format = EXPORT_FORMATS.find((one) => one === text)
  if (format !== undefined) return format
  throw new UsageError(`--format ${text}: write one of ${EXPORT_FORMATS.join(", ")}${didYouMean(text, EXPORT_FORMATS)}`)
}

/** Where an export goes. */
interface Sink {
  write(text: string): Promise<void>
  end(): Promise<void>
  abandon(): Promise<void>
}

async function exportTo(reader: Reader, format: ExportFormat, line: CommandLine, world: World): Promise<void> {
  const exporter = exporterFor(format)
  const filter = { ...filterOf(line, world.clock.now()), attempts: false }
  const limit = limitOf(line)
  const withTruncated = line.has("with-truncated")
  const output = line.text("output")
  const sink =
    output === undefined || output === "-" ? outputSink(world) : await fileSink(resolve(world.cwd, output), world)
  let written = 0
  const left = new LeftOut()
  const seen = new Set<string>()
  try {
    await sink.write(exporter.head)
    for await (const flow of reader.flows(filter, limit)) {
      const exchange = await reader.exchange(flow)
      // The same request twice is one row, or a model would learn it twice as well.
      const request = `${flow.conversation} ${flow.tools}`
      if (!isAnswered(exchange, withTruncated)) left.add("no answer that ended well")
      else if (seen.has(request)) left.add("the same request again")
      else {
        const text = left.unless(() => exporter.one(exchange, written))
        if (text === undefined) continue
        seen.add(request)
        written += 1
        await sink.write(text)
      }
    }
    await sink.write(exporter.foot(written))
    await sink.end()
  } catch (thrown) {
    await sink.abandon()
    throw thrown
  }
  world.err.write(`${written} exported as ${format}${left.text()}\n`)
}

/** Exchanges that an export does not hold, by the reason. */
class LeftOut {
  readonly #counts = new Map<string, number>()

  add(why: string): void {
    this.#counts.set(why, (this.#counts.get(why) ?? 0) + 1)
  }

  /** What `write` gives, unless the format cannot hold it. */
  unless(write: () => string): string | undefined {
    try {
      return write()
    } catch (thrown) {
      if (!(thrown instanceof NoChatForm)) throw thrown
      this.add(`the format has no place for ${thrown.message}`)
      return undefined
    }
  }

  /** As in ", 2 left out: no answer that ended well, 1: the same request again". */
  text(): string {
    const rows = [...this.#counts].sort(([, a], [, b]) => b - a)
    return rows.map(([why, count], index) => `, ${count}${index === 0 ? " left out" : ""}: ${printable(why)}`).join("")
  }
}

/** Standard output. A terminal gets nothing that could steer it. */
function outputSink({ out }: World): Sink {
  const done = () => Promise.resolve()
  return { write: async (text) => out.write(out.isTerminal ? printableLines(text) : text), end: done, abandon: done }
}

/**
 * A file that has its name only once it is whole, so that an old one is not lost to half an export; its folder is made.
 * A FIFO or a device gets the export as it is written.
 */
async function fileSink(file: string, world: World): Promise<Sink> {
  const told = async <T>(work: () => T | Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (thrown) {
      throw new StartError(`--output ${file}: ${messageOf(thrown)}`)
    }
  }
  const place = await told(() => outputPlace(file))
  if (place.kind === "stream") {
    const stream = await told(() => opened(place, world))
    const close = () => told(() => stream.close())
    return { write: (text) => told(() => stream.write(text)), end: close, abandon: close }
  }
  await told(() => makeFolder(dirname(place.path), FOLDER_MODE))
  const partial = await told(() => beginFile(place))
  return {
    write: (text) => told(() => partial.write(text)),
    end: () => told(() => partial.end()),
    abandon: () => partial.abandon(),
  }
}

/** Waits for somebody to read a FIFO, off the event loop: a signal ends the program meanwhile. */
async function opened(place: Parameters<typeof openStream>[0], { clock, err }: World): Promise<OutputStream> {
  for (let tries = 1; ; tries++) {
    try {
      return await openStream(place)
    } catch (thrown) {
      if (!place.isFifo || systemCodeOf(thrown) !== "ENXIO") throw thrown
      if (tries === 1) err.write(`waiting for somebody to read ${place.path}\n`)
    }
    await new Promise<void>((resolve) => {
      const alive = setInterval(() => {}, FIFO_POLL_MS) // A clock's timer keeps no process alive.
      clock.after(FIFO_POLL_MS, () => {
        clearInterval(alive)
        resolve()
      })
    })
  }
}

async function prune(file: string, line: CommandLine, world: World): Promise<number> {
  const { until, ...others } = filterOf(line, world.clock.now())
  const other = Object.entries(others).find(([, value]) => value !== undefined && value !== false)
  if (other !== undefined) throw new UsageError(`history prune: deletes by age alone, without --${other[0]}`)
  if (until === undefined)
    throw new UsageError("history prune: say up to when, for example --until 30d, or --until now for all")
  if (!isPostgresUrl(file) && !existsSync(file)) throw new StartError(`${file}: there is no history`)
  const { pruneFile } = await import("../store/prune.ts")
  const { flows, bytes } = await pruneFile(file, until)
  const freed = bytes === undefined ? "" : `, ${(bytes / 1e6).toFixed(1)} MB given back`
  world.out.write(`${flows} ${flows === 1 ? "flow" : "flows"} deleted${freed}\n`)
  return 0
}
