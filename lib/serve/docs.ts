/**
 * `GET /docs`: what is served at this address, as the addons have described it, for people and (`/docs/openapi.json`) for
 * programs. Made of the routes as they are; nothing of it comes from elsewhere. There is nothing in it that a client may not
 * know, and a browser has no key to show: anybody may read it.
 */
import type { EndpointDocument } from "../api/serve.ts"
import { isObject, type JsonObject } from "../base/json.ts"
import { docsHtml, POLICY } from "./docs-page.ts"
import { type Route, RouteTable } from "./routes.ts"

export type { RouteTable }

const DOCS_PATH = "/docs"
const DOCUMENT_PATH = "/docs/openapi.json"

/** The table of what is served, with the docs of it. */
export function routeTable(routes: readonly Route[]): RouteTable {
  return new RouteTable(withDocs(routes))
}

/** The routes with those of the docs behind them, where there is something to be described and nobody else serves them. */
function withDocs(routes: readonly Route[]): readonly Route[] {
  const first = routes.find(({ describes }) => describes !== undefined)
  const isTaken = routes.some(({ path }) => path === DOCS_PATH || path.startsWith(`${DOCS_PATH}/`) || path === "/*")
  if (first === undefined || isTaken) return routes
  const own = { addon: "llmproxy", method: "GET", access: "public", log: first.log } as const
  return [
    ...routes,
    { ...own, path: DOCS_PATH, handler: () => page(routes) },
    { ...own, path: `${DOCS_PATH}/`, handler: () => page(routes) },
    { ...own, path: DOCUMENT_PATH, handler: () => Response.json(openApiDocument(routes)) },
  ]
}

function page(routes: readonly Route[]): Response {
  return new Response(docsHtml(openApiDocument(routes), DOCUMENT_PATH), {
    headers: {
      "Content-Type": "text/html; charset=utf-8",
      "Content-Security-Policy": POLICY,
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
      "Cache-Control": "no-store",
    },
  })
}

/** OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0) of all that is described. */
function openApiDocument(routes: readonly Route[]): JsonObject {
  const paths: Record<string, JsonObject> = {}
  const components: Record<string, JsonObject> = {}
  for (const { paths: some, components: parts = {} } of describedBy(routes)) {
    for (const [path, item] of Object.entries(some)) if (isObject(item)) paths[path] = { ...paths[path], ...item }
    for (const [kind, all] of Object.entries(parts))
      if (isObject(all)) components[kind] = { ...components[kind], ...all }
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "llmproxy",
      version: "1",
      description: "What is served at this address beside what passes to models.",
    },
    paths,
    components: {
      ...components,
      securitySchemes: {
        key: { type: "http", scheme: "bearer", description: "A key, as Bearer or raw; x-api-key too." },
      },
    },
    security: [{ key: [] }, {}],
  }
}

function describedBy(routes: readonly Route[]): EndpointDocument[] {
  const all = new Set(routes.flatMap(({ describes }) => describes ?? []))
  return [...all].map((describes) => describes())
}
