/**
 * The routes: which upstreams a model's name stands for, and what the model is called there. The first route that fits counts.
 * Pure.
 */
import { isObject } from "llmproxy"
import { isLike } from "../shared/globs.ts"
import { OFFERED } from "../shared/local-upstream.ts"
import type { Upstream } from "./upstreams.ts"

/** Where a request may go. */
export interface Way {
  readonly upstream: Upstream
  /** What the model is called there; undefined: as the client says. */
  readonly model: string | undefined
  readonly weight: number | undefined
}

export interface Route {
  /** As they were written: names, and patterns with `*`. */
  readonly patterns: readonly string[]
  readonly ways: readonly Way[]
  readonly byWeight: boolean
}

/**
 * The routes that `given` says, as `checkRoutes` has let it pass. A text is what is wrong: a route to an upstream that there is
 * not.
 */
export function readRoutes(given: readonly unknown[], upstreams: readonly Upstream[]): Route[] | string {
  const routes: Route[] = []
  for (const [at, route] of given.entries()) {
    if (!isObject(route)) continue
    const targets: readonly unknown[] = Array.isArray(route.to) ? route.to : [route.to]
    const ways: Way[] = []
    for (const target of targets) {
      const fields: Readonly<Record<string, unknown>> = isObject(target) ? target : { upstream: target }
      const { upstream: name, model, weight } = fields
      const upstream = upstreams.find((one) => one.name === name)
      if (upstream === undefined && OFFERED.includes(String(name))) continue // It may be there later.
      if (upstream === undefined) return unknownUpstream(`models.routes[${at}].to`, String(name), upstreams)
      ways.push({ upstream, model: textIn(model), weight: typeof weight === "number" ? weight : undefined })
    }
    const patterns = (Array.isArray(route.model) ? route.model : [route.model]).map(String)
    const byWeight =
      route.by === "weight" || (route.by === undefined && ways.some(({ weight }) => weight !== undefined))
    routes.push({ patterns, ways, byWeight })
  }
  return routes
}

export function unknownUpstream(place: string, name: string, upstreams: readonly Upstream[]): string {
  const names = upstreams.map((one) => one.name).join(", ")
  const there = names === "" ? "there is none" : `there ${upstreams.length === 1 ? "is" : "are"} ${names}`
  return `${place}: no upstream is called "${name}"; ${there}. Upstreams are named in models.upstreams.`
}

/** The route of a model; a name without `*` that is the model's own comes before `UPSTREAM/ID`, a pattern behind it. */
export function routeOf(model: string, routes: readonly Route[], which: "named" | "any"): Route | undefined {
  return routes.find(
    ({ patterns, ways }) =>
      ways.length > 0 &&
      patterns.some((pattern) => (which === "any" || !pattern.includes("*")) && isLike(model, pattern)),
  )
}

/** The names that clients may ask for beside the upstreams' own. */
export function aliasesOf(routes: readonly Route[]): { id: string; route: Route }[] {
  return routes.flatMap((route) =>
    route.patterns.filter((pattern) => !pattern.includes("*")).map((id) => ({ id, route })),
  )
}

/** `UPSTREAM/ID` as its two parts; undefined: no upstream is called so. */
export function qualified(
  model: string,
  upstreams: readonly Upstream[],
): { readonly upstream: Upstream; readonly id: string } | undefined {
  const slash = model.indexOf("/")
  if (slash < 1 || slash === model.length - 1) return undefined
  const upstream = upstreams.find(({ name }) => name === model.slice(0, slash))
  return upstream === undefined ? undefined : { upstream, id: model.slice(slash + 1) }
}

function textIn(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined
}
