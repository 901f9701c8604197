/**
 * Every provider sends odd shapes: a value of another type than documented costs a field, never the stream. Each value
 * of each event of the forms is replaced by others, one at a time, and read, followed and written.
 */
import { readdirSync, readFileSync } from "node:fs"
import { test } from "tap"
import { messageOf } from "../../lib/base/errors.ts"
import { isObject, type JsonObject, type JsonValue, parseJson } from "../../lib/base/json.ts"
import type { Dialect } from "../../lib/llm/dialect.ts"
import { DIALECTS } from "../../lib/llm/index.ts"
import { contextFor, decodeAll } from "../helpers/llm/dialect-fixtures.ts"

const ODD: readonly JsonValue[] = [null, -7.5, "x", [], {}, [null], { type: 1 }, true]

/** The events of a dialect's forms, one of each set of names: the same shape tells nothing new. */
function shapes(dialect: Dialect): JsonObject[] {
  const folder = new URL(`../fixtures/llm/${dialect.name}/`, import.meta.url)
  const found = new Map<string, JsonObject>()
  for (const name of readdirSync(folder).filter((file) => !file.endsWith(".expected.json"))) {
    const bytes = readFileSync(new URL(name, folder))
    const values = name.endsWith(".json") ? [parseJson(bytes.toString())] : decodeAll(dialect, bytes).map((e) => e.json)
    for (const json of values) if (isObject(json)) found.set(shapeOf(json), json)
  }
  return [...found.values()]
}

function shapeOf(value: JsonValue | undefined): string {
  if (Array.isArray(value)) return `[${value.map(shapeOf).join()}]`
  if (!isObject(value)) return typeof value
  return `{${Object.entries(value).map(([key, inner]) => `${key === "type" ? String(inner) : key}:${shapeOf(inner)}`)}}`
}

/** Copies of `json` in which one value is odd. */
function* oddCopies(json: JsonValue): Generator<JsonValue> {
  if (typeof json !== "object" || json === null) return
  for (const [key, inner] of Object.entries(json)) {
    if (inner === undefined) continue
    for (const odd of [...ODD, ...oddCopies(inner)]) {
      yield Array.isArray(json) ? json.with(Number(key), odd) : { ...json, [key]: odd }
    }
  }
}

/** What a stream of `json` between two whole events says, written anew and followed; throws if anything does. */
function survive(dialect: Dialect, json: JsonValue, whole: JsonObject): void {
  const line = (value: JsonValue) =>
    dialect.streamType === "application/x-ndjson" ? `${JSON.stringify(value)}\n` : `data: ${JSON.stringify(value)}\n\n`
  const events = decodeAll(dialect, Buffer.from(line(whole) + line(json) + line(whole)))
  for (const sent of [true, false]) {
    const encoder = dialect.encoder(contextFor(dialect))
    for (const event of events) {
      encoder.adopt(event.json, sent)
      for (const delta of event.deltas) encoder.delta(delta)
    }
    encoder.end()
  }
  dialect.parseAnswer(json)
  dialect.parseError(500, JSON.stringify(json))
  if (isObject(json)) dialect.parseRequest(json, "/")?.messages.at(0)
}

for (const dialect of DIALECTS) {
  test(`${dialect.name}: an odd value anywhere in an event costs a field, never the stream`, async (t) => {
    let count = 0
    for (const whole of shapes(dialect)) {
      for (const json of oddCopies(whole)) {
        count++
        try {
          survive(dialect, json, whole)
        } catch (thrown) {
          t.fail(`${messageOf(thrown)} at ${JSON.stringify(json)}`)
        }
      }
    }
    t.ok(count > 100, `${count} events`)
  })
}
