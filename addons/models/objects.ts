/**
 * Who made what: ids of files, batches, responses and the like, with the upstream that keeps them and the owner they were made
 * for. The latest are known at once, all from the addon's tables, so that a client may ask for what it has just made, and
 * after a restart.
 */
import type { Clock, OpenTables, TableMigration } from "llmproxy"

export interface Made {
  readonly id: string
  /** The upstream's name. */
  readonly upstream: string
  /** Whose it is; "": nobody was named. */
  readonly owner: string
}

interface Tables {
  objects: Made & { made_at: number }
}

/** Never changed once released. */
const MIGRATIONS: readonly TableMigration[] = [
  {
    name: "0001-objects",
    up: async (db) => {
      await db.schema
        .createTable("objects")
        .addColumn("id", "text", (column) => column.primaryKey())
        .addColumn("upstream", "text", (column) => column.notNull())
        .addColumn("owner", "text", (column) => column.notNull())
        .addColumn("made_at", "bigint", (column) => column.notNull())
        .execute()
      await db.schema.createIndex("objects_made").on("objects").column("made_at").execute()
    },
  },
]
/** Ids that are known without asking. */
const RECENT_MAX = 10_000
/** Milliseconds that an id is remembered: a response is kept for 30 days by OpenAI, a file for as long as one likes. */
const KEPT_MS = 400 * 86_400_000
/** How many are kept between two times of taking old ones away. */
const PRUNE_EVERY = 1_000

export class Objects {
  readonly #opened: ReturnType<typeof openTables>
  readonly #clock: Pick<Clock, "now">
  readonly #recent = new Map<string, Made>()
  #count = 0

  constructor(tables: OpenTables, clock: Pick<Clock, "now">) {
    this.#clock = clock
    this.#opened = openTables(tables)
  }

  /** Known to `find` from now on; resolves when it is on the disk. Rejects where that fails. */
  async remember(made: Made): Promise<void> {
    if (this.#recent.has(made.id)) return
    this.#know(made)
    const db = await this.#opened
    const values = { ...made, made_at: this.#clock.now() }
    const { numInsertedOrUpdatedRows: count } = await db
      .insertInto("objects")
      .values(values)
      .onConflict((on) => on.column("id").doNothing())
      .executeTakeFirst()
    // An id is made once, and comes again where somebody asks what became of it: whoever made it has it.
    const first = count === 0n ? await this.#read(made.id) : undefined
    if (first !== undefined) this.#know(first)
    if (this.#count++ % PRUNE_EVERY !== 0) return
    await db
      .deleteFrom("objects")
      .where("made_at", "<", this.#clock.now() - KEPT_MS)
      .execute()
  }

  async find(id: string): Promise<Made | undefined> {
    return this.#recent.get(id) ?? this.#read(id)
  }

  #know(made: Made): void {
    this.#recent.set(made.id, made)
    const [oldest] = this.#recent.keys()
    if (this.#recent.size > RECENT_MAX && oldest !== undefined) this.#recent.delete(oldest)
  }

  async #read(id: string): Promise<Made | undefined> {
    const db = await this.#opened
    return db.selectFrom("objects").select(["id", "upstream", "owner"]).where("id", "=", id).executeTakeFirst()
  }
}

function openTables(tables: OpenTables) {
  return tables<Tables>(MIGRATIONS)
}
