/**
 * All models as one list: each upstream's in their order, an id that several have once and as UPSTREAM/ID each, then the
 * aliases, then the names that other addons have for what is asked of them. Pure.
 */
import type { JsonObject } from "llmproxy"
import type { ListedName } from "../shared/listed-names.ts"
import type { UpstreamList } from "./lists.ts"
import type { Route } from "./routes.ts"
import { aliasesOf, routeOf } from "./routes.ts"

export interface CatalogueEntry {
  readonly id: string
  readonly raw: JsonObject
  /** The names of the upstreams that answer to it, first asked first. */
  readonly upstreams: readonly string[]
  readonly isLocal: boolean
  /** What is asked in its place, where another addon sees to that. */
  readonly model?: string
}

interface Growing {
  readonly raw: JsonObject
  readonly upstreams: string[]
  readonly locals: boolean[]
}

export function catalogue(
  lists: readonly UpstreamList[],
  routes: readonly Route[],
  named: readonly ListedName[] = [],
): CatalogueEntry[] {
  const byId = new Map<string, Growing>()
  for (const { upstream, models } of lists)
    for (const { id, raw } of models) {
      const there = byId.get(id) ?? { raw, upstreams: [], locals: [] }
      there.upstreams.push(upstream.name)
      there.locals.push(upstream.isLocal)
      byId.set(id, there)
    }
  const entries: CatalogueEntry[] = []
  for (const [id, { raw, upstreams, locals }] of byId) {
    entries.push({ id, raw, upstreams, isLocal: locals.includes(true) })
    if (upstreams.length === 1) continue
    for (const [at, name] of upstreams.entries()) {
      const qualified = `${name}/${id}`
      if (!byId.has(qualified))
        entries.push({ id: qualified, raw: rawAt(lists, name, id), upstreams: [name], isLocal: locals[at] === true })
    }
  }
  const all = [...entries, ...aliasEntries(lists, routes, byId)]
  return [...all, ...namedEntries(all, lists, routes, named)]
}

/** Of names whose models somebody has. */
function namedEntries(
  all: readonly CatalogueEntry[],
  lists: readonly UpstreamList[],
  routes: readonly Route[],
  named: readonly ListedName[],
): CatalogueEntry[] {
  const byId = new Map(all.map((entry) => [entry.id, entry]))
  return named.flatMap(({ id, model }) => {
    const there = byId.get(model) ?? byId.get(`${model}:latest`) ?? routedEntry(model, lists, routes)
    return byId.has(id) || there === undefined ? [] : [{ ...there, id, model }]
  })
}

/** Of a model that nobody lists, and that a route leads on. */
function routedEntry(id: string, lists: readonly UpstreamList[], routes: readonly Route[]): CatalogueEntry | undefined {
  const shown = new Set(lists.map(({ upstream }) => upstream.name))
  const ways = (routeOf(id, routes, "any")?.ways ?? []).filter(({ upstream }) => shown.has(upstream.name))
  if (ways.length === 0) return undefined
  const upstreams = ways.map(({ upstream }) => upstream.name)
  return { id, raw: {}, upstreams, isLocal: ways.some(({ upstream }) => upstream.isLocal) }
}

function rawAt(lists: readonly UpstreamList[], name: string, id: string): JsonObject {
  const list = lists.find(({ upstream }) => upstream.name === name)
  return list?.models.find((model) => model.id === id)?.raw ?? {}
}

/** Of routes that lead to one of these upstreams. */
function aliasEntries(
  lists: readonly UpstreamList[],
  routes: readonly Route[],
  known: ReadonlyMap<string, unknown>,
): CatalogueEntry[] {
  const shown = new Set(lists.map(({ upstream }) => upstream.name))
  const seen = new Set<string>()
  return aliasesOf(routes).flatMap(({ id, route }) => {
    const ways = route.ways.filter(({ upstream }) => shown.has(upstream.name))
    if (known.has(id) || seen.has(id) || ways.length === 0) return []
    seen.add(id)
    const upstreams = [...new Set(ways.map(({ upstream }) => upstream.name))]
    return [{ id, raw: {}, upstreams, isLocal: ways.some(({ upstream }) => upstream.isLocal) }]
  })
}
