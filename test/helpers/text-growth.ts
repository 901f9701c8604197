/**
 * Measures what text functions cost of adversarial texts. A process of its own (text-growth.test.ts starts it), because
 * how garbage is collected has to be the same for a short and for a long text, and is told at a process's start.
 * Writes its findings as JSON.
 */
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { ROOT, type TextFunction, textFunctions } from "./text-functions.ts"

/**
 * Characters. The small ones are only there so that a quadratic function ends the test instead of holding it up; the
 * last one is only measured where the one before it cost too much.
 */
const LADDER = [4_000, 16_000, 62_500, 250_000, 1_000_000, 4_000_000]
const LAST_ALWAYS = 1_000_000
const RUNS = 5
/** Together no more than this: what takes so long is no noise. */
const RUNS_MICROS = 2_000_000
/** The most that four times the text may cost: linear is 4, quadratic 16. */
const GROWTH_MAX = 8
/** Less CPU time than this is the clock's and the collector's noise; a quadratic function takes far more of 62 kB. */
const NOISE_MICROS = 15_000
/** Characters of a piece, for what is fed in pieces. */
const PIECE_CHARS = 64

/** A text: what stands before and behind what is repeated makes patterns begin, and fail at the end. */
type Pattern = readonly [before: string, unit: string, behind: string]
const PATTERNS: readonly Pattern[] = [
  ...[" ", "\n", "a", '{"a":', "```\n"].map((unit): Pattern => ["", unit, ""]),
  ...[...' \n\t`a7\\"[{(<'].map((unit): Pattern => ["x", unit, "x"]),
  ...["\ud83d", "\ude00", "\u{1F600}", "\u4e00"].map((unit): Pattern => ["x", unit, "x"]),
  ...["\r\n", "a ", "a1.", '\\"', '{"a":"', "<think>", "<think", "https://a:", "sk-"].map(
    (unit): Pattern => ['{"x": "', unit, "x"],
  ),
  ["<think>", " ", "\n</think>x"],
  ["x", " ", "\n</think>x"],
  ["```json\n{", "`", "}"],
  ["GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\t", " ", "x\r\n\r\n"],
]

export interface Growth {
  readonly functions: readonly string[]
  readonly texts: number
  readonly faults: readonly string[]
}

/** The text of a length; each is made once. */
function textsOf([before, unit, behind]: Pattern): (length: number) => string {
  const texts = new Map<number, string>()
  return (length) => {
    const middle = () => unit.repeat(Math.ceil(length / unit.length)).slice(0, length)
    // Flat, as a text that was read is: a rope costs its first reader extra.
    const text = texts.get(length) ?? Buffer.from(before + middle() + behind, "utf16le").toString("utf16le")
    texts.set(length, text)
    return text
  }
}

/** One call's work. What a function throws at is judged by its own tests. */
type Work = (text: string) => void

async function worksOf(found: TextFunction): Promise<Map<string, Work>> {
  const module: Record<string, unknown> = await import(pathToFileURL(join(ROOT, found.file)).href)
  const [name = "", method] = found.path
  const target = module[name]
  if (typeof target !== "function") throw new Error(`${found.name} is none`)
  const given = (makers: TextFunction["arguments"], text: string, only?: number) =>
    makers.map((one, i) => ("takesText" in one ? one.wrap(only === undefined || only === i ? text : "x") : one.value))
  const objectFor = (): Record<string, unknown> => Reflect.construct(target, given(found.constructorArguments, "x"))
  const call = (object: Record<string, unknown> | undefined, values: unknown[]) => {
    const called = method === undefined ? target : object?.[method]
    if (typeof called === "function") Reflect.apply(called, object, values)
  }
  const works = new Map<string, Work>()
  const places = found.arguments.flatMap((one, i) => ("takesText" in one ? [i] : []))
  for (const only of places.length === 1 ? places : [...places, undefined])
    works.set(`argument ${only ?? "each"}`, (text) =>
      call(method === undefined ? undefined : objectFor(), given(found.arguments, text, only)),
    )
  if (method === "feed" || method === "push")
    works.set("in pieces", (text) => {
      const object = objectFor()
      for (let at = 0; at < text.length; at += PIECE_CHARS)
        call(object, given(found.arguments, text.slice(at, at + PIECE_CHARS)))
    })
  return works
}

function microsOf(work: Work, text: string): number {
  const before = process.cpuUsage()
  try {
    work(text)
  } catch {
    // Refusing a text is an answer, too.
  }
  // The system's share is for fresh memory, which a longer text needs and a shorter one has left over.
  return process.cpuUsage(before).user
}

function least(work: Work, text: string, enough: number): number {
  let micros = Number.POSITIVE_INFINITY
  let together = 0
  for (let run = 0; run < RUNS && micros > enough && together < RUNS_MICROS; run++) {
    if (run > 0) globalThis.gc?.()
    const one = microsOf(work, text)
    micros = Math.min(micros, one)
    together += one
  }
  return micros
}

/**
 * Where a text costs too much more than a quarter of it; undefined: nowhere. One step alone proves nothing: a text that
 * leaves a cache, or the first one that needs a collection, costs more than its length. A quadratic function's next step
 * is as steep.
 */
function excess(work: Work, textOf: (length: number) => string): string | undefined {
  let before = NOISE_MICROS
  let steep: string | undefined
  for (const length of LADDER) {
    if (length > LAST_ALWAYS && steep === undefined) return undefined
    // The smaller text's least of five; a larger one is run again only while it looks as if it grew too much.
    const enough = length < LAST_ALWAYS ? NOISE_MICROS : before * GROWTH_MAX
    const micros = least(work, textOf(length), enough)
    const told = `${length} characters take ${micros} us, a quarter of it ${before} us`
    if (micros <= before * GROWTH_MAX) steep = undefined
    else if (steep === undefined) steep = told
    else return `${steep}; ${told}`
    before = Math.max(micros, NOISE_MICROS)
  }
  return undefined
}

/**
 * `excluded`: functions, or one way of calling them, as "FILE NAME (argument N)". `pure`: those that are, though their
 * file reaches outside; what is in neither list and might write a file is not called, but told.
 */
async function measure(excluded: ReadonlySet<string>, pure: ReadonlySet<string>): Promise<Growth> {
  const works = new Map<string, Work>()
  const functions: string[] = []
  const faults: string[] = []
  for (const found of textFunctions(["lib", "addons"])) {
    functions.push(found.name)
    if (excluded.has(found.name)) continue
    if (found.reaches !== undefined && !pure.has(found.name)) {
      faults.push(`${found.name}: its file imports ${found.reaches}: say whether it is pure`)
      continue
    }
    for (const [how, work] of await worksOf(found)) works.set(`${found.name} (${how})`, work)
  }
  for (const name of excluded) works.delete(name)
  for (const pattern of PATTERNS) {
    const textOf = textsOf(pattern)
    for (const [name, work] of works) {
      const fault = excess(work, textOf)
      if (fault !== undefined) faults.push(`${name}: of ${JSON.stringify(pattern)} ${fault}`)
    }
  }
  return { functions, texts: PATTERNS.length, faults }
}

const [excluded = "[]", pure = "[]"] = process.argv.slice(2)
process.stdout.write(JSON.stringify(await measure(new Set(JSON.parse(excluded)), new Set(JSON.parse(pure)))))
