/** Which path is whose: the claims that stop a start, and what a request for such a path finds. */
import { test } from "tap"
import type { ServeSpec } from "../../lib/api/serve.ts"
import { makeLogger } from "../../lib/base/log.ts"
import { checkDistinctRoutes, checkRoute, RouteTable } from "../../lib/serve/routes.ts"

const log = makeLogger(() => {})

function route(text: string, addon = "panel") {
  const [method = "", path = ""] = text.split(" ")
  return checkRoute(addon, { method, path, access: "open" }, () => new Response(), log)
}

/** What a request finds: a route as it was declared, the methods of a 405, or how it ends. */
function found(table: RouteTable, request: string): string {
  const [method = "", target = ""] = request.split(" ")
  const result = table.find(method, target)
  if (result?.kind === "route") return `${result.route.method} ${result.route.path}`
  return result?.kind === "other-method" ? result.allow.join(", ") : (result?.kind ?? "passes")
}

test("a path that could not be meant, or is not an addon's to take, is refused with what to write", async (t) => {
  for (const [spec, why] of [
    ["get /panel", 'method must be one in capitals, as in "GET", or "*"'],
    ["CONNECT /panel", "CONNECT cannot be served"],
    ["TRACE /panel", "TRACE cannot be served"],
    ["GET panel", "path must begin with a slash"],
    [`GET /${"x".repeat(1_024)}`, "at most 1024 characters"],
    ["GET /*", "it would take all that is for the upstream"],
    ["GET /a/../b", "path is written as it is read"],
    ["GET /a/./b", "path is written as it is read"],
    ["GET /a%20b", "path is written as it is read"],
    ["GET /a?b", "path is written as it is read"],
    ["GET /a\\b", "path is written as it is read"],
    ["GET /a*", "path is written as it is read"],
    ["GET /a/*/b", "path is written as it is read"],
    ["GET /.llmproxy", "llmproxy's own"],
    ["GET /.llmproxy/*", "llmproxy's own"],
    ["GET /.llmproxy/panel", "llmproxy's own"],
  ] as const)
    t.throws(() => route(spec), { name: "UsageError", message: why }, spec)
  const spec: ServeSpec = { method: "GET", path: "/panel", access: "open" }
  // @ts-expect-error: an addon in JavaScript can write this
  t.throws(() => checkRoute("panel", { ...spec, access: "everybody" }, () => new Response(), log), /access must be/)
  // @ts-expect-error: an addon in JavaScript can write this
  t.throws(() => checkRoute("panel", spec, undefined, log), /must be a function/)
  for (const fine of ["GET /", "GET /.llmproxyx", "* /v1/*", "GET /a/b.c/ü"]) t.ok(route(fine), fine)
})

test("a path belongs to one addon, with all below its /*, and each method of it once", async (t) => {
  for (const [one, other, why] of [
    ["GET /a", "GET /a", 'addons "one" and "other" both serve /a'],
    ["GET /a", "POST /a", 'addons "one" and "other" both serve /a'],
    ["GET /a/*", "GET /a/b", 'addons "one" and "other" both serve /a/* and /a/b'],
    ["GET /a/b/*", "GET /a/*", 'addons "one" and "other" both serve /a/b/* and /a/*'],
    ["GET /a/*", "POST /a/", 'addons "one" and "other" both serve'],
  ] as const)
    t.throws(() => checkDistinctRoutes([route(one, "one"), route(other, "other")]), { message: why }, `${one} ${other}`)
  for (const [one, other] of [
    ["GET /a", "GET /a/"],
    ["GET /a", "GET /a/*"],
    ["GET /a/*", "GET /ab/*"],
    ["GET /v1/models", "POST /v1/chat/completions"],
  ] as const)
    t.doesNotThrow(() => checkDistinctRoutes([route(one, "one"), route(other, "other")]), `${one} ${other}`)
  const twice = [route("GET /a"), route("POST /a"), route("* /a"), route("GET /a/*"), route("GET /a")]
  t.doesNotThrow(() => checkDistinctRoutes(twice.slice(0, 4)))
  t.throws(() => checkDistinctRoutes(twice), { message: 'addon "panel": serve GET /a: it is served already' })
})

test("the narrowest path decides, then its method; GET answers HEAD; below /v1/ the rest is the upstream's", async (t) => {
  const routes = ["GET /a/*", "GET /a/b", "POST /a/b", "* /a/all", "DELETE /a/all", "GET /", "GET /v1/models"]
  const table = new RouteTable(routes.map((one) => route(one)))
  for (const [request, expected] of [
    ["GET /a/", "GET /a/*"],
    ["GET /a/x?b=/../c", "GET /a/*"],
    ["HEAD /a/x", "GET /a/*"],
    ["POST /a/x", "GET, HEAD"],
    ["GET /a/b", "GET /a/b"],
    ["POST /a/b#c", "POST /a/b"],
    ["PUT /a/b", "GET, HEAD, POST"],
    ["GET /a/b/", "GET /a/*"],
    ["PATCH /a/all", "* /a/all"],
    ["DELETE /a/all", "DELETE /a/all"],
    ["TRACE /a/all", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"],
    ["get /a/b", "GET, HEAD, POST"],
    ["get /a/all", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"],
    ["Post /a/all", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"],
    ["trace /a/all", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"],
    ["Track /a/all", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"],
    ["PROPFIND /a/all", "* /a/all"],
    ["patch /a/all", "* /a/all"],
    ["GET /", "GET /"],
    ["GET /?x", "GET /"],
    ["OPTIONS *", "passes"],
    ["GET /a", "passes"],
    ["GET /x", "passes"],
    ["GET /v1/models", "GET /v1/models"],
    ["HEAD /v1/models", "GET /v1/models"],
    ["POST /v1/models", "passes"],
    ["GET /v1/models/", "passes"],
    ["GET /v1/models/x", "passes"],
    ["POST /v1/chat/completions", "passes"],
  ] as const)
    t.equal(found(table, request), expected, request)
  t.equal(found(new RouteTable([]), "GET /a/b"), "passes")
})

test("what only looks like a route's path is not served: it passes as it came, or is refused where both readings meet", async (t) => {
  const table = new RouteTable(["GET /open/*", "GET /admin/*", "GET /a/b"].map((one) => route(one)))
  for (const [target, expected] of [
    ["/%61dmin/x", "GET /admin/*"],
    ["/open/%2561dmin", "GET /open/*"],
    ["/open/x%20y", "GET /open/*"],
    ["/open/%C3%BC", "GET /open/*"],
    ["/open//x", "GET /open/*"],
    ["/open/..x", "GET /open/*"],
    ["/open/../admin/x", "unclear"],
    ["/open/..", "unclear"],
    ["/open/.", "unclear"],
    ["/open/./x", "unclear"],
    ["/open/%2e%2e/admin/x", "unclear"],
    ["/open/%2E./admin/x", "unclear"],
    ["/open/..%2fadmin/x", "unclear"],
    ["/open/..%5Cadmin", "unclear"],
    ["/open/..\\admin", "unclear"],
    ["/open/x%00", "unclear"],
    ["/open%2fx", "unclear"],
    ["/a%2Fb", "unclear"],
    ["//admin/x", "passes"],
    ["/x/../admin/x", "passes"],
    ["/./admin/x", "passes"],
    ["/ADMIN/x", "passes"],
    ["/admin;/x", "passes"],
    ["/%2561dmin/x", "passes"],
    ["/admin%", "passes"],
    ["/%2e/admin/x", "passes"],
    ["/a/b%20", "passes"],
    ["/a/b/", "passes"],
    ["/a/b%3Fx", "passes"],
    ["/open/%zz", "unclear"],
    ["/admin/%zz", "unclear"],
    ["/%61dmin/%zz", "unclear"],
    ["/open/100%", "unclear"],
  ] as const)
    t.equal(found(table, `GET ${target}`), expected, target)
})
