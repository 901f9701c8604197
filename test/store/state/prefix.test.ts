/** Which names of a query get an addon's prefix, in the SQL that is made. */
import { DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, sql } from "kysely"
import { test } from "tap"
import { prefixOf, TablePrefix } from "../../../lib/store/state/prefix.ts"

interface Tables {
  votes: { id: number; who: string; poll: number }
  polls: { id: number; title: string }
}

const db = new Kysely<Tables>({
  dialect: {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (of) => new SqliteIntrospector(of),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  },
  plugins: [new TablePrefix("my-poll")],
})

const P = "my_poll__"

test("an addon's tables have its name before theirs, its aliases have not", (t) => {
  const queries: [{ compile(): { sql: string } }, string][] = [
    [db.selectFrom("votes").selectAll(), `select * from "${P}votes"`],
    [db.selectFrom("votes").select("votes.id"), `select "${P}votes"."id" from "${P}votes"`],
    [db.selectFrom("votes as v").select("v.id"), `select "v"."id" from "${P}votes" as "v"`],
    [db.selectFrom("votes as polls").selectAll("polls"), `select "polls".* from "${P}votes" as "polls"`],
    [
      db.selectFrom("votes as polls").innerJoin("polls as p", "p.id", "polls.poll").select(["p.title", "polls.who"]),
      `select "p"."title", "polls"."who" from "${P}votes" as "polls" inner join "${P}polls" as "p" on "p"."id" = "polls"."poll"`,
    ],
    [
      db
        .selectFrom("polls")
        .select("polls.title")
        .where((eb) => eb.exists(eb.selectFrom("votes").select("votes.id").whereRef("votes.poll", "=", "polls.id"))),
      `select "${P}polls"."title" from "${P}polls" where exists (select "${P}votes"."id" from "${P}votes" where "${P}votes"."poll" = "${P}polls"."id")`,
    ],
    [
      db
        .with("many", (of) => of.selectFrom("votes").select("who"))
        .selectFrom("many")
        .select("many.who"),
      `with "many" as (select "who" from "${P}votes") select "many"."who" from "many"`,
    ],
    [
      db.selectFrom("votes").select("votes.who").where("votes.poll", "in", db.selectFrom("polls").select("polls.id")),
      `select "${P}votes"."who" from "${P}votes" where "${P}votes"."poll" in (select "${P}polls"."id" from "${P}polls")`,
    ],
    [
      db
        .insertInto("votes")
        .values({ id: 1, who: "a", poll: 2 })
        .onConflict((one) => one.column("id").doUpdateSet((eb) => ({ who: eb.ref("excluded.who") }))),
      `insert into "${P}votes" ("id", "who", "poll") values (?, ?, ?) on conflict ("id") do update set "who" = "excluded"."who"`,
    ],
    [
      db.updateTable("votes").set({ who: "b" }).where("votes.id", "=", 1),
      `update "${P}votes" set "who" = ? where "${P}votes"."id" = ?`,
    ],
    [
      db.updateTable("votes").from("polls").set({ who: "b" }).whereRef("polls.id", "=", "votes.poll"),
      `update "${P}votes" set "who" = ? from "${P}polls" where "${P}polls"."id" = "${P}votes"."poll"`,
    ],
    [db.deleteFrom("votes").where("id", "=", 1), `delete from "${P}votes" where "id" = ?`],
    [
      db.schema
        .createTable("votes")
        .addColumn("id", "integer", (column) => column.primaryKey())
        .addColumn("poll", "integer", (column) => column.references("polls.id"))
        .addUniqueConstraint("one_vote", ["id", "poll"]),
      `create table "${P}votes" ("id" integer primary key, "poll" integer references "${P}polls" ("id"), constraint "${P}one_vote" unique ("id", "poll"))`,
    ],
    [
      db.schema.createIndex("votes_who").on("votes").column("who"),
      `create index "${P}votes_who" on "${P}votes" ("who")`,
    ],
    [db.schema.dropIndex("votes_who"), `drop index "${P}votes_who"`],
    [db.schema.alterTable("votes").renameTo("ballots"), `alter table "${P}votes" rename to "${P}ballots"`],
    [
      db.schema.alterTable("votes").dropConstraint("one_vote"),
      `alter table "${P}votes" drop constraint "${P}one_vote"`,
    ],
    [
      db.schema.alterTable("votes").addPrimaryKeyConstraint("key", ["id"]),
      `alter table "${P}votes" add constraint "${P}key" primary key ("id")`,
    ],
    [db.schema.dropTable("votes").ifExists(), `drop table if exists "${P}votes"`],
    [
      db.schema.createView("voters").as(db.selectFrom("votes").select("who")),
      `create view "${P}voters" as select "who" from "${P}votes"`,
    ],
    [db.schema.dropView("voters"), `drop view "${P}voters"`],
  ]
  for (const [query, wanted] of queries) t.equal(query.compile().sql, wanted)
  const raw = sql`select ${sql.ref("who")} from ${sql.table("votes")} where polls = 1`
  t.equal(raw.compile(db).sql, `select "who" from "${P}votes" where polls = 1`, "text is taken as it is")
  t.equal(db.withSchema("other").selectFrom("votes").selectAll().compile().sql, `select * from "other"."votes"`)
  t.end()
})

test("no two addons have one prefix, and none begins as another", (t) => {
  const names = ["a", "a-b", "ab", "a-b-c", "b", "a1", "a-1"]
  const prefixes = names.map(prefixOf)
  for (const one of prefixes)
    t.equal(prefixes.filter((other) => `${one}_x`.startsWith(other) || `${one}x`.startsWith(other)).length, 1, one)
  t.end()
})
