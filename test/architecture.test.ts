/**
 * The tree's rules, checked on what is written: who may import whom, and what no file may hold.
 */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { test } from "tap"

const ROOT = resolve(import.meta.dirname, "..")

/** Modules of Node that reach outside of the process. */
const IO_MODULES = new Set([
  "node:child_process",
  "node:cluster",
  "node:dgram",
  "node:dns",
  "node:fs",
  "node:fs/promises",
  "node:http",
  "node:http2",
  "node:https",
  "node:net",
  "node:os",
  "node:process",
  "node:readline",
  "node:tls",
  "node:worker_threads",
])

/** Pure folders' exceptions: file to module, with the reason. */
const PURE_EXCEPTIONS: Readonly<Record<string, string>> = {
  // Counting long texts takes longer than the event loop may be blocked; the thread is behind this one file.
  "lib/llm/tokens/worker-client.ts": "node:worker_threads",
}

const LINES_MAX = 400
const TEST_LINES_MAX = 500
/** Files of one folder: what can be seen at a glance. */
const FILES_MAX = 25

/**
 * The rooms of lib/proxy, and which others each may import. Everybody may import io, streams.ts and settings.ts; a session
 * may import all, as it puts them together.
 */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  websocket: ["flow", "body"],
  child: ["flow", "body", "upstream"],
  flow: ["body", "upstream", "http2", "access"],
  upstream: ["http1", "http2", "socks", "tls"],
  http1: ["access"],
  http2: ["access"],
  body: [],
  tls: [],
  access: [],
  socks: [],
  io: [],
}
const SETTLED = ["lib/proxy/streams.ts", "lib/proxy/settings.ts"]

interface Source {
  readonly path: string
  readonly text: string
  /** Imported modules: paths from the root for our own files, else the specifier. */
  readonly imports: readonly string[]
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return entry.name === "fixtures" || entry.name === "node_modules" ? [] : filesBelow(path)
    return path.endsWith(".ts") ? [path] : []
  })
}

function read(path: string): Source {
  const text = readFileSync(join(ROOT, path), "utf8")
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^;'"]*?from\s*"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)|(?:^|\n)import\s+"([^"]+)"/g,
  )
  const imports = [...found].map((match) => match[1] ?? match[2] ?? match[3] ?? "")
  const own = (name: string) => (name.startsWith(".") ? relative(ROOT, resolve(ROOT, dirname(path), name)) : name)
  return { path, text, imports: imports.map(own) }
}

const sources = ["bin", "lib", "addons", "certs"].flatMap(filesBelow).map(read)
const tests = filesBelow("test").map(read)

function offenders(within: string, isBad: (imported: string, source: Source) => boolean): string[] {
  return sources
    .filter(({ path }) => path.startsWith(within))
    .flatMap((source) =>
      source.imports.filter((one) => isBad(one, source)).map((one) => `${source.path} imports ${one}`),
    )
}

test("lib/llm, lib/http1 and lib/websocket are pure", async (t) => {
  for (const folder of ["lib/llm/", "lib/http1/", "lib/websocket/"]) {
    const bad = offenders(folder, (imported, { path }) => {
      if (imported.startsWith("lib/proxy/") || imported.startsWith("certs/")) return true
      return IO_MODULES.has(imported) && PURE_EXCEPTIONS[path] !== imported
    })
    t.strictSame(bad, [])
  }
})

test("lib/proxy reaches lib/llm through observe.ts alone, and knows no store, web or addons", async (t) => {
  const bad = offenders("lib/proxy/", (imported, { path }) => {
    if (imported.startsWith("lib/llm/")) return path !== "lib/proxy/body/observe.ts"
    return ["lib/store/", "lib/web/", "lib/cli/", "addons/"].some((folder) => imported.startsWith(folder))
  })
  t.strictSame(bad, [])
})

test("lib/proxy is rooms, which know each other in one direction", async (t) => {
  const loose = sources.filter(({ path }) => /^lib\/proxy\/[^/]+\.ts$/.test(path) && !SETTLED.includes(path))
  t.strictSame(
    loose.map(({ path }) => path),
    [],
  )
  const roomOf = (path: string) => /^lib\/proxy\/([^/]+)\//.exec(path)?.[1]
  const bad = offenders("lib/proxy/", (imported, { path }) => {
    const [from, to] = [roomOf(path), roomOf(imported)]
    if (to === undefined || to === from || from === "session") return false
    return to !== "io" && (from === undefined || ROOMS[from]?.includes(to) !== true)
  })
  t.strictSame(bad, [])
  const rooms = new Set(sources.flatMap(({ path }) => roomOf(path) ?? []))
  t.same([...rooms].sort(), ["session", ...Object.keys(ROOMS)].sort(), "every room is in the table")
})

test("lib/base knows nothing but itself, and what addons read nothing of sockets", async (t) => {
  const inside = (imported: string) => /^(lib|certs|addons|bin)\//.test(imported)
  const base = offenders("lib/base/", (imported) => inside(imported) && !imported.startsWith("lib/base/"))
  const known = ["lib/api/", "lib/base/", "lib/llm/", "lib/options/spec.ts"]
  const api = offenders("lib/api/", (imported) => inside(imported) && !known.some((one) => imported.startsWith(one)))
  t.strictSame([...base, ...api], [])
})

test("lib/targets knows no more than an addon could", async (t) => {
  const known = ["lib/targets/", "lib/api/", "lib/base/", "lib/llm/"]
  const bad = offenders("lib/targets/", (imported) => {
    return /^(lib|certs|addons|bin)\//.test(imported) && !known.some((one) => imported.startsWith(one))
  })
  t.strictSame(bad, [])
})

test("no folder holds more files than can be seen at a glance", async (t) => {
  const counts = new Map<string, number>()
  for (const { path } of [...sources, ...tests]) counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1)
  t.strictSame(
    [...counts].filter(([, count]) => count > FILES_MAX),
    [],
  )
})

test("SQLite is known below lib/store/database.ts alone", async (t) => {
  const below = [
    "database.ts",
    "history-file.ts",
    "native-gate.ts",
    "sqlite.ts",
    "thread-link.ts",
    "state/take-over.ts",
    "state/thread-dialect.ts",
  ].map((file) => `lib/store/${file}`)
  const bad = offenders("lib/", (imported, { path }) => imported === "lib/store/sqlite.ts" && !below.includes(path))
  t.strictSame(bad, [])
})

test("lib never imports addons", async (t) => {
  t.strictSame(
    offenders("lib/", (imported) => imported.startsWith("addons/")),
    [],
  )
})

test("no file leads round to itself by what it imports, types included", async (t) => {
  const imports = new Map(sources.map(({ path, imports }) => [path, imports]))
  const done = new Set<string>()
  /** The first circle that is met from `path` on; `way`: how it was come to. */
  const circleFrom = (path: string, way: readonly string[]): readonly string[] | undefined => {
    if (way.includes(path)) return [...way.slice(way.indexOf(path)), path]
    if (done.has(path)) return undefined
    for (const one of imports.get(path) ?? []) {
      const circle = circleFrom(one, [...way, path])
      if (circle !== undefined) return circle
    }
    done.add(path)
    return undefined
  }
  const circles = sources.map(({ path }) => circleFrom(path, [])?.join(" -> ")).filter((one) => one !== undefined)
  t.strictSame(circles, [])
})

test("how an exchange stands is known to the flow's own files alone", async (t) => {
  const own = /^lib\/proxy\/flow\//
  const others = sources.filter(
    ({ path, text }) => !own.test(path) && /\.exchange\b(?!\()|exchange-state\.ts/.test(text),
  )
  t.strictSame(
    others.map(({ path }) => path),
    [],
  )
})

test("an addon imports the public API, its own files, what the shipped ones share and packages that come with ours, as a user's addon can", async (t) => {
  // An optional peer is the user's to install, and is loaded where it is used.
  const { dependencies, peerDependencies }: Record<"dependencies" | "peerDependencies", object> = JSON.parse(
    readFileSync(join(ROOT, "package.json"), "utf8"),
  )
  const packages = new Set([...Object.keys(dependencies), ...Object.keys(peerDependencies)])
  const bad = offenders("addons/", (imported, { path }) => {
    if (
      /^llmproxy(?:\/(?:templates|targets|openapi))?$/.test(imported) ||
      imported.startsWith("node:") ||
      packages.has(packageOf(imported))
    )
      return false
    const [, name = ""] = path.split("/")
    const own = `addons/${name.replace(/\.ts$/, "")}`
    if (imported.startsWith("addons/shared/")) return false
    return !imported.startsWith(`${own}/`) && !(path.startsWith(`${own}/`) && imported === `${own}.ts`)
  })
  t.strictSame(bad, [])
})

/** Of a package's own file the package: ajv/dist/2020.js, @huggingface/gguf. */
function packageOf(imported: string): string {
  return imported
    .split("/")
    .slice(0, imported.startsWith("@") ? 2 : 1)
    .join("/")
}

test("certs know nothing of the proxy", async (t) => {
  const allowed = [
    "certs/",
    "lib/base/errors.ts",
    "lib/base/log.ts",
    "lib/base/clock.ts",
    "lib/base/folders.ts",
    "lib/base/output-place.ts",
  ]
  const bad = offenders(
    "certs/",
    (imported) =>
      imported.includes("/") &&
      !imported.startsWith("node:") &&
      imported.endsWith(".ts") &&
      !allowed.some((one) => imported.startsWith(one)),
  )
  t.strictSame(bad, [])
})

test("no file is long, and none is a drawer", async (t) => {
  const long = [...sources, ...tests].filter(({ path, text }) => {
    return text.split("\n").length - 1 > (path.startsWith("test/") ? TEST_LINES_MAX : LINES_MAX)
  })
  t.strictSame(
    long.map(({ path }) => path),
    [],
  )
  const drawers = sources.filter(({ path }) => /(^|\/)(utils?|helpers?|misc|common|types)\.ts$/.test(path))
  t.strictSame(
    drawers.map(({ path }) => path),
    [],
  )
})

test("no escape from the type system, no unfinished work, no coverage that is looked away from", async (t) => {
  const words = [
    ": any\\b",
    "as any\\b",
    "<any>",
    "@ts-" + "ignore",
    "@ts-" + "nocheck",
    "TO" + "DO",
    "FIX" + "ME",
    "c8 " + "ignore",
    "istanbul " + "ignore",
  ]
  const pattern = new RegExp(words.join("|"))
  const bad = sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path)
  t.strictSame(bad, [])
})

test("every file says first what it is", async (t) => {
  const silent = sources.filter(({ text }) => !/^(#!.*\n)?\/\*\*/.test(text)).map(({ path }) => path)
  t.strictSame(silent, [])
})

test("importing the library awaits nothing", async (t) => {
  // require(esm), by which addons get the running instance, cannot load a module that waits.
  const waiting = sources.filter(({ path, text }) => path.startsWith("lib/") && /^(?:const .*= )?await /m.test(text))
  t.strictSame(
    waiting.map(({ path }) => path),
    [],
  )
})
