/**
 * Where a database is: a file of SQLite's, or a server of PostgreSQL's by its URL. Both are one text, which whoever is above
 * the seam only hands on.
 */
import { join } from "node:path"
import { HISTORY_FILE, STATE_FILE } from "../api/store.ts"

/** https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS */
const URL_FORM = /^postgres(?:ql)?:\/\//i
/** `user:password@`, and a password among the parameters. */
const URL_PASSWORD = /^(postgres(?:ql)?:\/\/[^/:@?]*):[^/@?]*@/i
const PARAMETER_PASSWORD = /([?&]password=)[^&]*/gi

export type SqlLanguage = "sqlite" | "postgres"

export function isPostgresUrl(place: string): boolean {
  return URL_FORM.test(place)
}

/** Whose SQL is spoken there. */
export function languageOf(place: string): SqlLanguage {
  return isPostgresUrl(place) ? "postgres" : "sqlite"
}

/** As people may see it: without the password. */
export function shownPlace(place: string): string {
  if (!isPostgresUrl(place)) return place
  return place.replace(URL_PASSWORD, "$1:***@").replace(PARAMETER_PASSWORD, "$1***")
}

export interface StorePlaces {
  /** Files, or the URL of a server of PostgreSQL's. */
  readonly historyFile: string
  readonly stateFile: string
}

/** Of one text: a server's URL, else a confdir. */
export function placesIn(place: string): StorePlaces {
  return storePlaces(place, isPostgresUrl(place) ? place : undefined)
}

/** Where both are: on a server, if one is named, else two files in the confdir. */
export function storePlaces(confdir: string, server: string | undefined): StorePlaces {
  return { historyFile: server ?? join(confdir, HISTORY_FILE), stateFile: server ?? join(confdir, STATE_FILE) }
}
