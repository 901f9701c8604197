/** `llmproxy keys`: makes, lists, revokes, renews and imports keys. What it changes counts in a running llmproxy a second later. */
import { readFile } from "node:fs/promises"
import {
  type CommandContext,
  type DeclareCommand,
  isObject,
  type JsonObject,
  type OptionSpecs,
  UsageError,
} from "llmproxy"
import { type KeyBook, keyOf, textsOf } from "./book.ts"
import type { Ledger } from "./ledger.ts"
import { KINDS, type Limits, limitsOf, limitsText, parseSpans, SPANS, spanAt } from "./limits.ts"
import { hashOf, makeKey } from "./secret.ts"
import type { KeyRow } from "./tables.ts"

const SCOPES = ["models", "upstreams", "endpoints", "services"] as const
/** Milliseconds of what "30d" is written with. */
const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, d: 86_400_000, w: 604_800_000 }
/** Of an imported key: what is shorter can be guessed. */
const IMPORT_CHARS_MIN = 16
/** Of a file of keys. */
const FILE_CHARS_MAX = 10_000_000

const globs = (what: string) => ({ type: "list", help: `Only these ${what} (names, and globs as gpt-*).` }) as const

const FLAGS = {
  label: { type: "string", help: "What people call it." },
  owner: {
    type: "string",
    help: "Whose it is. Keys of one owner share what is remembered of them; default: its own alone.",
  },
  team: { type: "string", help: "Its team, for llmproxy history stats --by team." },
  tags: { type: "list", help: "Its tags, for llmproxy history stats --by tag." },
  admin: { type: "boolean", default: false, help: "It may do what the master key may." },
  models: globs("models"),
  upstreams: globs("upstreams, or hosts through the proxy"),
  endpoints: globs("paths"),
  services: globs("services"),
  requests: { type: "list", help: "At most so many requests, as in 60/minute,1000/day." },
  tokens: { type: "list", help: "At most so many tokens, as in 100000/day." },
  money: { type: "list", help: "At most so many dollars, as in 2.50/day,40/month." },
  parallel: { type: "integer", min: 1, help: "At most so many requests at a time." },
  expires: { type: "string", help: "When it ends: a day (2027-01-31) or a time from now (12h, 30d, 8w)." },
  profile: { type: "string", help: "The profile of its requests that name none." },
  json: { type: "boolean", default: false, help: "List as JSON." },
} as const satisfies OptionSpecs

type Context = CommandContext<typeof FLAGS>
type Opened = () => Promise<{ book: KeyBook; ledger: Ledger }>

export function declareKeys(command: DeclareCommand, opened: Opened): void {
  command({
    name: "keys",
    help: "make, list, revoke, renew and import the keys of clients",
    operands: "create | list | revoke KEY... | rotate KEY | import FILE",
    options: FLAGS,
    async run(context): Promise<number> {
      const [action, ...operands] = context.operands
      if (action === "create" && operands.length === 0) return create(context, await opened())
      if (action === "list" && operands.length === 0) return list(context, await opened())
      if (action === "revoke" && operands.length > 0) return revoke(context, operands, (await opened()).book)
      if (action === "rotate" && operands.length === 1) return rotate(context, operands[0] ?? "", (await opened()).book)
      if (action === "import" && operands.length === 1)
        return importFile(context, operands[0] ?? "", (await opened()).book)
      throw new UsageError(
        "keys: write keys create, list, revoke KEY, rotate KEY or import FILE (see llmproxy keys --help)",
      )
    },
  })
}

async function create({ flags, clock, print, note }: Context, { book }: { book: KeyBook }): Promise<number> {
  const { label, owner, team, tags, admin, profile, expires } = flags
  const scopes: JsonObject = {}
  for (const kind of SCOPES) if (flags[kind] !== undefined) scopes[kind] = words(flags[kind])
  const limits = limitsFrom(flags)
  const expiresAt = expires === undefined ? undefined : endOf(expires, clock.now())
  const key = makeKey()
  const name = label ?? owner ?? team ?? "unnamed"
  const id = await book.create(key, {
    label: name,
    owner,
    team,
    tags: words(tags),
    admin,
    scopes,
    limits,
    profile,
    expiresAt,
  })
  note(`${id} (${name}) was made. Its key is shown this once:\n`)
  print(`${key}\n`)
  return 0
}

function limitsFrom(flags: Context["flags"]): Limits {
  const limits: JsonObject = {}
  for (const kind of KINDS) {
    const spans = parseSpans(`--${kind}`, kind, words(flags[kind]))
    if (spans !== undefined) limits[kind] = { ...spans }
  }
  if (flags.parallel !== undefined) limits.parallel = flags.parallel
  return limitsOf(limits)
}

/** Of a flag that may be given several times, or with commas. */
function words(given: readonly string[] | undefined): string[] {
  const all = (given ?? []).flatMap((text) => text.split(","))
  return all.map((word) => word.trim()).filter((word) => word !== "")
}

/** Throws a UsageError. */
function endOf(text: string, now: number): number {
  const [, amount, unit = ""] = /^(\d{1,5})([hdw])$/.exec(text) ?? []
  if (amount !== undefined) return now + Number(amount) * (UNITS[unit] ?? 0)
  const at = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at))
    throw new UsageError(`--expires ${text}: write a day, as in 2027-01-31, or a time from now, as in 30d`)
  if (at <= now) throw new UsageError(`--expires ${text}: that day is over`)
  return at
}

async function list(
  { flags, clock, print }: Context,
  { book, ledger }: { book: KeyBook; ledger: Ledger },
): Promise<number> {
  const now = clock.now()
  const rows = await book.all()
  const listed = await Promise.all(
    rows.map(async (row) => ({ ...shown(row, now), used: await usedBy(ledger, row.id, now) })),
  )
  if (flags.json) print(`${JSON.stringify(listed, undefined, 2)}\n`)
  else if (listed.length === 0) print("there are no keys\n")
  if (flags.json) return 0
  for (const { id, label, owner, team, tags, state, limits, lastUsed, used } of listed) {
    const parts = [
      owner && `owner ${owner}`,
      team && `team ${team}`,
      tags.length > 0 && `tags ${tags.join(" ")}`,
      limits,
    ]
    const use = `${used.day.requests} requests and ${used.day.tokens} tokens today`
    print(`${[id, label, state, ...parts.filter(Boolean), use, `last used ${lastUsed ?? "never"}`].join("  ")}\n`)
  }
  return 0
}

function shown(row: KeyRow, now: number) {
  const { id, label, owner, limits, expiresAt, revokedAt, admin } = keyOf(row)
  const isOver = expiresAt !== undefined && expiresAt <= now
  const state = revokedAt !== undefined ? "revoked" : isOver ? "expired" : admin ? "admin" : "valid"
  const { scopes, team, tags } = keyOf(row).claims
  return {
    id,
    label,
    owner,
    team,
    tags: textsOf(tags) ?? [],
    state,
    scopes,
    limits: limitsText(limits),
    expires: dayText(expiresAt),
    lastUsed: row.last_used_at === null ? undefined : new Date(Number(row.last_used_at)).toISOString(),
  }
}

function dayText(at: number | undefined): string | undefined {
  return at === undefined ? undefined : new Date(at).toISOString()
}

async function usedBy(ledger: Ledger, key: string, now: number) {
  const [, day, month] = await ledger.used(
    key,
    SPANS.map((span) => spanAt(span, now)),
  )
  const none = { requests: 0, tokens: 0, money: 0 }
  return { day: day ?? none, month: month ?? none }
}

/** The one key of this id or label. Throws a UsageError. */
async function oneNamed(book: KeyBook, name: string): Promise<KeyRow> {
  const [row, ...more] = await book.named(name)
  if (row === undefined)
    throw new UsageError(`keys: no key has the id or the label ${name}; llmproxy keys list shows them`)
  if (more.length > 0) throw new UsageError(`keys: ${more.length + 1} keys are labelled ${name}; name one by its id`)
  return row
}

async function revoke({ note }: Context, names: readonly string[], book: KeyBook): Promise<number> {
  for (const row of await Promise.all(names.map((name) => oneNamed(book, name)))) {
    await book.revoke(row.id)
    note(`${row.id} (${row.label}) opens nothing any more\n`)
  }
  return 0
}

async function rotate({ print, note }: Context, name: string, book: KeyBook): Promise<number> {
  const { id, label } = await oneNamed(book, name)
  const key = makeKey()
  await book.rotate(id, key)
  note(`${id} (${label}) has another key from now on, shown this once:\n`)
  print(`${key}\n`)
  return 0
}

/** Local-LLM-API's data/api_keys.json: keys by number, "0" the master's. */
async function importFile({ print, note }: Context, file: string, book: KeyBook): Promise<number> {
  const keys = await readKeys(file)
  const kept = await book.kept(keys.map(([, key]) => hashOf(key)))
  let imported = 0
  let skipped = 0
  for (const [number, key] of keys) {
    const why = kept.has(hashOf(key))
      ? "is kept already"
      : key.length < IMPORT_CHARS_MIN
        ? `has fewer than ${IMPORT_CHARS_MIN} characters, and could be guessed`
        : undefined
    if (why !== undefined) {
      skipped += 1
      note(`key ${number} ${why}: it is left out\n`)
      continue
    }
    const isMaster = number === "0"
    await book.create(key, { label: `imported ${number}`, admin: isMaster, ...(isMaster ? { owner: "master" } : {}) })
    imported += 1
  }
  print(`${imported} keys imported${skipped > 0 ? `, ${skipped} left out` : ""}\n`)
  return imported > 0 || skipped === 0 ? 0 : 1
}

/** Throws a UsageError that shows nothing of a key. */
async function readKeys(file: string): Promise<[string, string][]> {
  const told = (text: string) => new UsageError(`keys import ${file}: ${text}`)
  let text: string
  try {
    text = await readFile(file, "utf8")
  } catch (thrown) {
    throw told(thrown instanceof Error ? thrown.message : String(thrown))
  }
  let value: unknown
  try {
    value = text.length > FILE_CHARS_MAX ? undefined : JSON.parse(text)
  } catch {
    throw told("it is no JSON")
  }
  if (!isObject(value)) throw told('it is no object of keys by number, as in {"0": "the master key", "1": "a key"}')
  const keys = Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string")
  if (keys.length === 0) throw told("no key is in it")
  return keys
}
