/**
 * `llmproxy/openapi`: an API of an addon's own, described where it is written. Each endpoint is a route with zod schemas
 * (https://zod.dev, https://github.com/honojs/middleware/tree/main/packages/zod-openapi): requests are checked by them, and
 * `GET /docs` shows them. hono and zod are llmproxy's own, loaded with the first addon that serves so.
 */
import { OpenAPIHono, type z } from "@hono/zod-openapi"
import type { RefusedAnswer, Serve, ServeAccess, ServeContext } from "../api/serve.ts"
import { objectOf } from "../base/json.ts"

export { createRoute, z } from "@hono/zod-openapi"

/** Of an `Api`: a handler has who asks, and their signal, as `c.env.caller`. */
export interface ApiEnvironment {
  Bindings: { caller: ServeContext }
}

export type Api = OpenAPIHono<ApiEnvironment>

/** How many faults of one request are told. */
const ISSUES_MAX = 5

/** What is wrong with a request, in one line for its client. */
export type Refuse = (message: string) => Response

/**
 * An API without endpoints yet: `api.openapi(createRoute({ method: "get", path: "/votes/{id}", ... }), (c) => c.json(...))`. A request
 * that does not fit its schema is answered by `refuse` (default: 400 in OpenAI's shape).
 */
export function makeApi(refuse: Refuse = refused): Api {
  const api = new OpenAPIHono<ApiEnvironment>({
    defaultHook: (result) => {
      if (!result.success) return refuse(told(result.error))
      return undefined
    },
  })
  api.onError((error) => {
    // What hono says of a body that is no JSON. All else goes on to whoever serves this, who logs it.
    if ("status" in error && error.status === 400) return refuse("the body is no JSON")
    throw error
  })
  return api
}

/**
 * Serves every endpoint of `api`, with and without a slash at the end; `access` says who may ask for which. Below a path with a
 * parameter (`/votes/{id}`) all is the addon's. To be called in `setup`, once all endpoints are declared. `refused`: what they get who may
 * not, and where a handler has thrown; default: a line of text.
 */
export function serveApi(
  serve: Serve,
  api: Api,
  access: (path: string, method: string) => ServeAccess,
  refused?: RefusedAnswer,
): void {
  const more = { describes: () => documentOf(api), ...(refused === undefined ? {} : { refused }) }
  const served = new Set<string>()
  for (const definition of api.openAPIRegistry.definitions) {
    if (definition.type !== "route") continue
    const { path, method } = definition.route
    const verb = method.toUpperCase()
    for (const place of placesOf(path)) {
      if (served.has(`${verb} ${place}`)) continue
      served.add(`${verb} ${place}`)
      serve({ method: verb, path: place, access: access(path, verb), ...more }, (request, caller) =>
        api.fetch(request.url.endsWith("/") ? withoutSlash(request) : request, { caller }),
      )
    }
  }
}

/** `/votes/{id}` is served as all below `/votes/`. */
function placesOf(path: string): string[] {
  const parameter = path.indexOf("{")
  return parameter < 0 ? [path, `${path}/`] : [`${path.slice(0, parameter)}*`]
}

function withoutSlash(request: Request): Request {
  const url = new URL(request.url)
  const path = url.pathname.replace(/(?<=.)\/$/, "")
  if (path === url.pathname) return request
  url.pathname = path
  return new Request(url, request)
}

function documentOf(api: Api): ReturnType<NonNullable<Parameters<Serve>[0]["describes"]>> {
  const { paths, components } = api.getOpenAPI31Document({ openapi: "3.1.0", info: { title: "", version: "" } })
  const plain: unknown = JSON.parse(JSON.stringify({ paths, components }))
  const { paths: ours, components: shared } = objectOf(plain) ?? {}
  return { paths: objectOf(ours) ?? {}, components: objectOf(shared) ?? {} }
}

function told({ issues }: z.ZodError): string {
  const lines = issues.slice(0, ISSUES_MAX).map(({ path, message }) => {
    const place = path.map(String).join(".")
    return place === "" ? message : `${place}: ${message}`
  })
  const more = issues.length > ISSUES_MAX ? `; and ${issues.length - ISSUES_MAX} more` : ""
  return `${lines.join("; ")}${more}`
}

function refused(message: string): Response {
  const error = { message, type: "invalid_request_error", param: null, code: "invalid_request" }
  return Response.json({ error }, { status: 400 })
}
