/**
 * Tests on both databases: each runs on SQLite, and on PostgreSQL where LLMPROXY_TEST_POSTGRES names a server (a URL of a user
 * that may make databases). A database is made for each test, and dropped behind it.
 */
import { randomUUID } from "node:crypto"
import pg from "pg"
import { type Test, test } from "tap"

export type Kind = "SQLite" | "PostgreSQL"

const { LLMPROXY_TEST_POSTGRES: SERVER = "" } = process.env

/** What a test without a server says; false: there is one. */
export const NO_POSTGRES: string | false = SERVER === "" && "LLMPROXY_TEST_POSTGRES names no server of PostgreSQL's"

/** The same test on both. */
export function onBoth(name: string, run: (t: Test, kind: Kind) => Promise<void>): void {
  test(`SQLite: ${name}`, (t) => {
    t.context.kind = "SQLite"
    return run(t, "SQLite")
  })
  test(`PostgreSQL: ${name}`, { skip: NO_POSTGRES }, (t) => {
    t.context.kind = "PostgreSQL"
    return run(t, "PostgreSQL")
  })
}

/** On which of the two a test of `onBoth` runs. */
export function kindOf(t: Test): Kind {
  return t.context.kind === "PostgreSQL" ? "PostgreSQL" : "SQLite"
}

/** A new database's URL. */
export async function newDatabase(t: Test): Promise<string> {
  const name = `llmproxy_test_${randomUUID().replaceAll("-", "")}`
  await asked(SERVER, `create database ${name}`)
  t.teardown(() => asked(SERVER, `drop database if exists ${name} with (force)`))
  const url = new URL(SERVER)
  url.pathname = `/${name}`
  return url.href
}

/** The rows that a statement gives, numbers as the driver has them: whole ones of 64 bits are texts. */
export async function asked(
  url: string,
  sql: string,
  values: readonly unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(sql, [...values])).rows
  } finally {
    await client.end()
  }
}
