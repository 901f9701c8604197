/**
 * What a real client does with each variable that `llmproxy run` sets: it is run once for each, with that one alone, and
 * either comes through the proxy, or goes past it to a server of ours that stands where its URL says, or does not trust
 * the CA. Nothing is told from a failed name look-up, and nothing leaves the machine.
 */
import { once } from "node:events"
import { writeFile } from "node:fs/promises"
import { type AddressInfo, createServer } from "node:net"
import { join } from "node:path"
import { type Test, test } from "tap"
import { ADDING_VARIABLES, BUNDLE_VARIABLES } from "../../../certs/trust.ts"
import type { OriginRequest, ReplyScript } from "../../../lib/testing/origin.ts"
import { exitsWith, runThrough } from "../command-process.ts"
import { proxyFolder, toPort } from "../hosts/chat-hosts.ts"
import { ok, startOrigin } from "../test-proxy.ts"
import { fixture } from "./chat-clients.ts"
import { type Case, type ClientName, ROWS, type Row } from "./client-rows.ts"

const PROXY = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
const TRUST: readonly string[] = [...ADDING_VARIABLES, ...BUNDLE_VARIABLES, "SYSTEM_WGETRC"]
const NODE = "NODE_USE_ENV_PROXY"
/** Names that clients of LLMs ask by themselves. */
const API_NAMES = ["api.openai.com", "api.anthropic.com"]

/**
 * `proxied`: came through and took the answer; `failed`: came through and did not. `refused`: asked for a tunnel and did
 * not trust us in it. `direct`: went past us.
 */
type Way = "proxied" | "failed" | "refused" | "direct" | "nowhere"

export interface Cell {
  readonly name: string
  /** The variables of `run` that the client gets; all of them where it is left out. */
  readonly keep?: readonly string[]
  readonly set?: Readonly<Record<string, string>>
  /** Where the client is told to go; its own place where that is left out. */
  readonly url?: { readonly scheme: "http" | "https"; readonly host: "127.0.0.1" | "localhost" }
}

export interface Seen {
  readonly way: Way
  /** What the client spoke, as the proxy saw it. */
  readonly version: string | undefined
}

/** The command of a client for a base URL, or for its own. */
export type CommandFor = (url: string | undefined) => readonly string[]

/** As `run` sets it, with nothing about the client changed. */
const UNCHANGED: Cell = { name: "run" }

export function proxyCells(): Cell[] {
  return PROXY.map((name): Cell => {
    const scheme = name.toUpperCase() === "HTTP_PROXY" ? "http" : "https"
    return { name, keep: [name, NODE, ...TRUST], url: { scheme, host: "127.0.0.1" } }
  })
}

/** What stays away from the proxy: a host in NO_PROXY, and this machine without being named. */
function directCells(): Cell[] {
  const keep = [...PROXY, NODE, ...TRUST]
  const address = { scheme: "https", host: "127.0.0.1" } as const
  return [
    { name: "NO_PROXY", keep, set: { NO_PROXY: "127.0.0.1" }, url: address },
    { name: "no_proxy", keep, set: { no_proxy: "127.0.0.1" }, url: address },
    { name: "localhost", keep, url: { scheme: "https", host: "localhost" } },
  ]
}

/** Each of the variables alone, and all others without them. */
function trustCells(variables: readonly string[]): Cell[] {
  const url = { scheme: "https", host: "127.0.0.1" } as const
  const others = TRUST.filter((name) => !variables.includes(name))
  const alone = variables.map((name) => ({ name, keep: [...PROXY, NODE, name], url }))
  return [...alone, { name: "others", keep: [...PROXY, NODE, ...others], url }]
}

/** Runs the client once for each cell, all through one `llmproxy run`. */
export async function runCells(
  t: Test,
  commandFor: CommandFor,
  cells: readonly Cell[],
  env: Readonly<Record<string, string>> = {},
  more: readonly string[] = [],
): Promise<Readonly<Record<string, Seen>>> {
  const { folder, flags } = await proxyFolder(t)
  const connectTo = await apiHosts(t)
  const plain = await startOrigin(t, reply)
  const origins = {
    "127.0.0.1": await startOrigin(t, reply, "127.0.0.1"),
    localhost: await startOrigin(t, reply, "localhost"),
  }
  const places = await Promise.all(
    cells.map(async (cell) => {
      const past = await startPassedBy(t)
      if (cell.url === undefined) return { cell, past, command: commandFor(undefined) }
      const { scheme, host } = cell.url
      const { port } = scheme === "http" ? plain : origins[host]
      connectTo.unshift("--connect-to", `${host}:${past.port}:127.0.0.1:${port}`)
      return { cell, past, command: commandFor(`${scheme}://${host}:${past.port}`) }
    }),
  )
  const listed = places.map(({ cell: { name, keep, set }, command }) => {
    return { name, command, all: keep === undefined, keep: keep ?? [], set: { ...env, ...set } }
  })
  await writeFile(join(folder, "cells.json"), JSON.stringify(listed))
  const addon = ["-s", fixture("seen-addon.mjs")]
  const command = [process.execPath, fixture("cells.mjs")]
  const outcome = await runThrough(t, [...flags, ...more, ...addon, ...connectTo], command, { folder })
  exitsWith(t, 0, outcome)
  const ends = outcome.stdout.split("\n").filter((line) => line !== "")
  const seen = places.map(({ cell, past }, i) => {
    const { status, stderr }: { status: number | null; stderr: string } = JSON.parse(ends[i] ?? "{}")
    const way = past.isMet() ? "direct" : wayOf(outcome.stderr, cell, past.port, status)
    if (way !== "proxied") t.comment(`${cell.name}: ${way}, status ${status}: ${stderr}`)
    return [cell.name, { way, version: versionOf(outcome.stderr, cell, past.port) }] as const
  })
  return Object.fromEntries(seen)
}

/** Flags that lead the names of the APIs to scripted ones, and every other name to one that proves to be none of it. */
async function apiHosts(t: Test): Promise<string[]> {
  const flags: string[] = []
  for (const name of API_NAMES) flags.push(...toPort(name, (await startOrigin(t, reply, name)).port))
  const other = await startOrigin(t, reply, "nowhere.test")
  return [...flags, "--connect-to", `:443:127.0.0.1:${other.port}`]
}

function wayOf(lines: string, cell: Cell, port: number, status: number | null): Way {
  if (versionOf(lines, cell, port) !== undefined) return status === 0 ? "proxied" : "failed"
  return new RegExp(`tunnel ${placeOf(cell, port)}$`, "m").test(lines) ? "refused" : "nowhere"
}

function versionOf(lines: string, cell: Cell, port: number): string | undefined {
  // Of several requests the last: Codex asks for a WebSocket first.
  return [...lines.matchAll(new RegExp(`request ${placeOf(cell, port)} (\\S+)$`, "gm"))].at(-1)?.[1]
}

/** As the addon prints it. */
function placeOf({ url }: Cell, port: number): string {
  return url === undefined ? `(?:${API_NAMES.join("|")}) 443` : `${url.host} ${port}`
}

/** What stands at the URL itself: who comes here has passed the proxy by, and gets nothing. */
async function startPassedBy(t: Test): Promise<{ port: number; isMet(): boolean }> {
  let met = false
  const server = createServer((socket) => {
    met = true
    socket.on("error", () => {})
    // A connection that ends before anything was sent is made anew by undici, without end.
    socket.once("data", () => socket.destroy())
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.teardown(() => server.close())
  return { port: (server.address() as AddressInfo).port, isMet: () => met }
}

type Answer = { readonly text: string; readonly type: string }

const reply: ReplyScript = (request, socket) => {
  const { text, type } = answerTo(request)
  socket.write(ok(text, `Content-Type: ${type}\r\n`))
}

function answerTo({ method, target, body }: OriginRequest): Answer {
  if (/\/info\/refs/.test(target)) return { text: `${"0".repeat(39)}1\trefs/heads/main\n`, type: "text/plain" }
  if (target.endsWith("/HEAD")) return { text: "ref: refs/heads/main\n", type: "text/plain" }
  const isStream = /"stream": ?true/.test(body.toString("utf8"))
  if (isStream && /\/messages(\?|$)/.test(target)) return { text: events(MESSAGE_EVENTS), type: "text/event-stream" }
  // Codex streams always, and compresses what it sends.
  if (method === "POST" && target.endsWith("/responses"))
    return { text: events(RESPONSE_EVENTS), type: "text/event-stream" }
  const found = JSON_ANSWERS.find(([pattern]) => pattern.test(target))?.[1] ?? { object: "list", data: [] }
  return { text: JSON.stringify({ id: "a1", created: 1, model: "m", ...found }), type: "application/json" }
}

const USAGE = { input_tokens: 1, output_tokens: 1, total_tokens: 2 }
const CHOICE = { index: 0, message: { role: "assistant", content: "Hi" }, finish_reason: "stop" }
const TEXT = { type: "text", text: "Hi" }
const MESSAGE = { type: "message", role: "assistant", content: [TEXT], stop_reason: "end_turn", usage: USAGE }
const JSON_ANSWERS: readonly (readonly [RegExp, object])[] = [
  [/\/chat\/completions$/, { choices: [CHOICE] }],
  [/\/messages(\?|$)/, MESSAGE],
]

const MESSAGE_EVENTS = [
  { type: "message_start", message: { ...MESSAGE, id: "m1", model: "m", content: [], stop_reason: null } },
  { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Hi" } },
  { type: "content_block_stop", index: 0 },
  { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: USAGE },
  { type: "message_stop" },
]

const OUTPUT = [{ type: "output_text", text: "Hi", annotations: [] }]
const ITEM = { type: "message", id: "msg_1", role: "assistant", status: "completed", content: OUTPUT }
const RESPONSE_EVENTS = [
  { type: "response.created", response: { id: "r1" } },
  { type: "response.output_item.done", output_index: 0, item: ITEM },
  { type: "response.completed", response: { id: "r1", status: "completed", output: [ITEM], usage: USAGE } },
]

function events(list: readonly { type: string }[]): string {
  return list.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join("")
}

/** Registers the tests of a row of the README's table. `env`: what the client needs besides. */
export function testRow(name: ClientName, commandFor: CommandFor, env: Readonly<Record<string, string>> = {}): void {
  const row: Row = ROWS[name]
  test(`${name}: comes through the proxy as run sets it, and trusts it by ${row.trust.join(" or ")} alone`, async (t) => {
    const seen = await runCells(t, commandFor, [UNCHANGED, ...trustCells(row.trust)], env)
    t.same(seen.run, { way: "proxied", version: row.version })
    for (const variable of row.trust) t.equal(seen[variable]?.way, "proxied", variable)
    t.equal(seen.others?.way, "refused", "no other variable makes it trust the CA")
  })

  test(`${name}: takes the proxy from the variables that the table names, and no others`, async (t) => {
    const seen = await runCells(t, commandFor, proxyCells(), env)
    const told = {
      http: caseOf(seen, "HTTP_PROXY"),
      https: caseOf(seen, "HTTPS_PROXY"),
      all: caseOf(seen, "ALL_PROXY"),
    }
    t.same(told, { http: row.http, https: row.https, all: row.all })
  })

  test(`${name}: what stays away from the proxy is what the table says`, async (t) => {
    const seen = await runCells(t, commandFor, directCells(), env)
    t.equal(caseOf(seen, "NO_PROXY", "direct"), row.no, "NO_PROXY")
    t.equal(seen.localhost?.way, row.local === "yes" ? "proxied" : "direct", "localhost")
  })
}

/** In which case a variable had its effect. */
function caseOf(seen: Readonly<Record<string, Seen>>, variable: string, effect: Way = "proxied"): Case {
  const [upper, lower] = [variable, variable.toLowerCase()].map((name) => seen[name]?.way === effect)
  if (upper) return lower ? "both" : "upper"
  return lower ? "lower" : "no"
}
