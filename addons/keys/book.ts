/**
 * The keys that there are, in the database, and what is known of them at the moment. A key is looked up by its hash and
 * remembered for a second, and so is a hash that is no key's: a change by a command, or by another llmproxy on the same
 * database, counts everywhere a second later, and the usual check is one hash and one look into a map.
 */
import type { Kysely } from "kysely"
import { type Clock, type JsonObject, type Logger, objectOf } from "llmproxy"
import { isLimited, type Limits, limitsOf } from "./limits.ts"
import { hashOf, isSameHash, makeId } from "./secret.ts"
import type { KeyRow, Tables } from "./tables.ts"

/** Milliseconds that what was looked up is believed. */
export const BELIEVED_MS = 1_000
/** Keys, and hashes that are none, that are remembered. */
const REMEMBERED_MAX = 20_000
/** Milliseconds between two notes of a key's last use. */
const NOTE_USE_MS = 60_000
/** Milliseconds after which a key in use is looked up together with another one. */
const DUE_MS = 500
/** Keys in one statement that looks them up. */
const LOOKED_UP_AT_ONCE = 100
/** Keys in one statement that notes their use. */
const NOTED_AT_ONCE = 500
const MASTER_ID = "k_master"

export interface Key {
  readonly id: string
  readonly hash: string
  readonly label: string
  readonly owner: string | undefined
  readonly admin: boolean
  readonly endpoints: readonly string[] | undefined
  readonly models: readonly string[] | undefined
  readonly upstreams: readonly string[] | undefined
  readonly limits: Limits
  readonly isLimited: boolean
  readonly expiresAt: number | undefined
  readonly revokedAt: number | undefined
  /** What other addons are told. One object as long as the key is as it is. */
  readonly claims: JsonObject
}

/** The database could not be asked. */
export class BookLost extends Error {
  override name = "BookLost"
}

interface Entry {
  readonly key: Key | undefined
  readonly at: number
}

export interface NewKey {
  readonly label: string
  readonly owner?: string | undefined
  readonly team?: string | undefined
  readonly tags?: readonly string[]
  readonly admin?: boolean
  readonly scopes?: JsonObject
  readonly limits?: Limits
  readonly profile?: string | undefined
  readonly expiresAt?: number | undefined
}

export class KeyBook {
  readonly #db: Kysely<Tables>
  readonly #clock: Clock
  readonly #log: Logger
  readonly #known = new Map<string, Entry>()
  readonly #asking = new Map<string, Promise<Key | undefined>>()
  /** Hashes of keys that were used since they were looked up: they are looked up together. */
  readonly #inUse = new Set<string>()
  readonly #keyOf = new WeakMap<JsonObject, Key>()
  /** Keys that were used since it was noted. */
  readonly #used = new Set<string>()
  #noted = Number.NEGATIVE_INFINITY

  constructor(db: Kysely<Tables>, clock: Clock, log: Logger) {
    this.#db = db
    this.#clock = clock
    this.#log = log
  }

  /** The key with this hash, be it expired or revoked. A promise only where the database is asked; that rejects with a BookLost. */
  find(hash: string): Key | undefined | Promise<Key | undefined> {
    const known = this.#known.get(hash)
    if (known !== undefined && this.#clock.monotonic() - known.at < BELIEVED_MS) {
      if (known.key !== undefined) this.#inUse.add(hash)
      return known.key
    }
    return this.#asking.get(hash) ?? this.#look(hash)
  }

  /** In one statement with others that are in use and would soon be looked up themselves. */
  #look(hash: string): Promise<Key | undefined> {
    const at = this.#clock.monotonic()
    this.#inUse.delete(hash)
    const others: string[] = []
    for (const other of this.#inUse) {
      const known = this.#known.get(other)
      if (others.length >= LOOKED_UP_AT_ONCE || (known !== undefined && at - known.at < DUE_MS)) break
      this.#inUse.delete(other)
      if (known !== undefined && !this.#asking.has(other)) others.push(other)
    }
    const looking = this.#ask([hash, ...others], at)
    for (const other of others) this.#answered(other, looking).catch(() => {}) // Whoever asks for it hears of it.
    return this.#answered(hash, looking)
  }

  #answered(hash: string, looking: Promise<void>): Promise<Key | undefined> {
    const asking = looking
      .then(
        () => this.#known.get(hash)?.key,
        (thrown: unknown) => {
          // Who was known goes on: what needs no write needs no database.
          const key = this.#known.get(hash)?.key
          if (key !== undefined) return key
          throw new BookLost(String(thrown))
        },
      )
      .finally(() => this.#asking.delete(hash))
    this.#asking.set(hash, asking)
    return asking
  }

  /** The key whose claims these are. */
  of(claims: JsonObject | undefined): Key | undefined {
    return claims === undefined ? undefined : this.#keyOf.get(claims)
  }

  /** Notes that a key is used; written at most once a minute, for all of them. */
  use({ id }: Key): void {
    this.#used.add(id)
    const now = this.#clock.monotonic()
    if (now - this.#noted < NOTE_USE_MS) return
    this.#noted = now
    void this.noteUses()
  }

  /** Never rejects. */
  async noteUses(): Promise<void> {
    const ids = [...this.#used]
    const last_used_at = this.#clock.now() // of all of them: by less than a minute too late
    this.#used.clear()
    try {
      for (let from = 0; from < ids.length; from += NOTED_AT_ONCE)
        await this.#db
          .updateTable("keys")
          .set({ last_used_at })
          .where("id", "in", ids.slice(from, from + NOTED_AT_ONCE))
          .execute()
    } catch (thrown) {
      this.#log.debug(`the last use of ${ids.length} keys could not be noted: ${String(thrown)}`)
    }
  }

  /** Keeps a key; resolves to its id. */
  async create(key: string, given: NewKey, id = makeId()): Promise<string> {
    await this.#db
      .insertInto("keys")
      .values(this.#row(key, given, id))
      .execute()
    this.#known.delete(hashOf(key))
    return id
  }

  /** Keeps the master key, unless there is one or a program beside this one was faster. Resolves to whether it did. */
  async createMaster(key: string): Promise<boolean> {
    const row = this.#row(key, { label: "master", owner: "master", admin: true }, MASTER_ID)
    const rows = await this.#db
      .insertInto("keys")
      .values(row)
      .onConflict((conflict) => conflict.column("id").doNothing())
      .returning("id")
      .execute()
    return rows.length > 0
  }

  async hasMaster(): Promise<boolean> {
    const rows = await this.#db.selectFrom("keys").select("id").where("id", "=", MASTER_ID).execute()
    return rows.length > 0
  }

  /** Those whose id or label this is; the newest last. */
  async named(name: string): Promise<readonly KeyRow[]> {
    const all = await this.all()
    return all.filter(({ id, label }) => id === name || label === name)
  }

  all(): Promise<readonly KeyRow[]> {
    return this.#db.selectFrom("keys").selectAll().orderBy("created_at").orderBy("id").execute()
  }

  async revoke(id: string): Promise<void> {
    await this.#db.updateTable("keys").set({ revoked_at: this.#clock.now() }).where("id", "=", id).execute()
  }

  /** From now on the key is another text; the one before opens nothing any more. */
  async rotate(id: string, key: string): Promise<void> {
    await this.#db
      .updateTable("keys")
      .set({ hash: hashOf(key), revoked_at: null })
      .where("id", "=", id)
      .execute()
  }

  /** The hashes that are kept already. */
  async kept(hashes: readonly string[]): Promise<ReadonlySet<string>> {
    const all = await this.all()
    const there = new Set(all.map(({ hash }) => hash))
    return new Set(hashes.filter((hash) => there.has(hash)))
  }

  #row(key: string, { label, owner, team, tags = [], admin = false, ...more }: NewKey, id: string): KeyRow {
    return {
      id,
      hash: hashOf(key),
      label,
      owner: owner ?? null,
      team: team ?? null,
      tags: JSON.stringify(tags),
      admin: admin ? 1 : 0,
      scopes: JSON.stringify(more.scopes ?? {}),
      limits: JSON.stringify(more.limits ?? {}),
      profile: more.profile ?? null,
      created_at: this.#clock.now(),
      expires_at: more.expiresAt ?? null,
      revoked_at: null,
      last_used_at: null,
    }
  }

  async #ask(hashes: readonly string[], at: number): Promise<void> {
    const rows = await this.#db.selectFrom("keys").selectAll().where("hash", "in", hashes).execute()
    const byHash = new Map(rows.map((row) => [row.hash, row]))
    for (const hash of hashes) {
      const found = byHash.get(hash)
      const row = found !== undefined && isSameHash(found.hash, hash) ? found : undefined
      const known = this.#known.get(hash)
      const key = row === undefined ? undefined : this.#keyFrom(row, known?.key)
      this.#known.delete(hash)
      if (this.#known.size >= REMEMBERED_MAX)
        for (const oldest of [...this.#known.keys()].slice(0, REMEMBERED_MAX / 10)) this.#known.delete(oldest)
      this.#known.set(hash, { key, at })
    }
  }

  /** What is as it was stays the same object, so that claims that were given go on to be known. */
  #keyFrom(row: KeyRow, before: Key | undefined): Key {
    const made = keyOf(row)
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(made)) return before
    this.#keyOf.set(made.claims, made)
    return made
  }

  /** Makes the claims of a key that stands in no database known. */
  introduce(key: Key): void {
    this.#keyOf.set(key.claims, key)
  }
}

export function keyOf(row: KeyRow): Key {
  const { id, hash, label, profile } = row
  const scopes = objectOf(parsed(row.scopes)) ?? {}
  const limits = limitsOf(parsed(row.limits))
  const admin = Number(row.admin) === 1
  const [owner, team] = [row.owner ?? undefined, row.team ?? undefined]
  return {
    id,
    hash,
    label,
    owner,
    admin,
    // The master key may do what any key may.
    endpoints: admin ? undefined : textsOf(scopes.endpoints),
    models: admin ? undefined : textsOf(scopes.models),
    upstreams: admin ? undefined : textsOf(scopes.upstreams),
    limits,
    isLimited: isLimited(limits),
    expiresAt: row.expires_at === null ? undefined : Number(row.expires_at),
    revokedAt: row.revoked_at === null ? undefined : Number(row.revoked_at),
    claims: {
      key: id,
      owner: owner ?? id,
      team,
      tags: textsOf(parsed(row.tags)) ?? [],
      admin,
      scopes: admin ? {} : scopes,
      profile: profile ?? undefined,
    },
  }
}

/** The master key that an option gives: it stands nowhere. */
export function masterFrom(key: string): Key {
  const none = { team: null, owner: null, tags: "[]", scopes: "{}", limits: "{}", profile: null }
  const times = { created_at: 0, expires_at: null, revoked_at: null, last_used_at: null }
  return keyOf({ ...none, ...times, id: MASTER_ID, hash: hashOf(key), label: "master", owner: "master", admin: 1 })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function textsOf(value: unknown): string[] | undefined {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : undefined
}
