/**
 * Local-LLM-API's calls: GET /auth says whether a key is one, POST /auth/key (and GET, as its code did) makes one for the master.
 * Its clients send the raw key as Authorization, with and without a slash at the end of the path.
 */
import { Headers, type Serve } from "llmproxy"
import { createRoute, makeApi, serveApi, z } from "llmproxy/openapi"
import type { Key, KeyBook } from "./book.ts"
import type { Doorman } from "./doorman.ts"
import { makeId, makeKey } from "./secret.ts"

/** A key is in none of them that a cache could keep. */
const FIELDS = { "Cache-Control": "no-store" }

const Checked = z.object({ auth: z.literal(true) }).openapi("Checked")
const Made = z.object({ key: z.string().describe("Shown this once.") }).openapi("Made")
const Unauthorized = z.object({ message: z.string() }).openapi("Unauthorized")

const tags = ["keys"]
const refused = { description: "No key that may.", content: { "application/json": { schema: Unauthorized } } }
const slowed = { ...refused, description: "Too many wrong keys from this address." }
const lost = { ...refused, description: "The database of the keys is not there." }
const failures = { 401: refused, 429: slowed, 503: lost }

const CHECK = createRoute({
  method: "get",
  path: "/auth",
  tags,
  summary: "Whether a key is one",
  responses: { 200: { description: "It is.", content: { "application/json": { schema: Checked } } }, ...failures },
})
const made = { description: "A new key, without limits.", content: { "application/json": { schema: Made } } }
const MAKE = {
  path: "/auth/key",
  tags,
  summary: "Make a key: for the master key alone",
  responses: { 200: made, ...failures },
}

export function serveAuth(serve: Serve, opened: () => Promise<{ book: KeyBook; doorman: Doorman }>): void {
  const ask = async (request: Request, address: string): Promise<{ book: KeyBook; found: Key | Refusal }> => {
    const { book, doorman } = await opened()
    const found = await doorman.find(new Headers([...request.headers]), address)
    if (found.kind === "key") return { book, found: found.key }
    return { book, found: refusal(found.kind === "refused" ? found.status : 401) }
  }
  const api = makeApi()
  api.openapi(CHECK, async (c) => {
    const { found } = await ask(c.req.raw, c.env.caller.address)
    if ("status" in found) return c.json({ message: found.message }, found.status, found.fields)
    return c.json({ auth: true as const }, 200, FIELDS)
  })
  for (const method of ["get", "post"] as const)
    api.openapi(createRoute({ method, ...MAKE }), async (c) => {
      const { book, found } = await ask(c.req.raw, c.env.caller.address)
      const key = "status" in found || found.admin ? found : refusal(401)
      if ("status" in key) return c.json({ message: key.message }, key.status, key.fields)
      const text = makeKey()
      // Each is somebody else's: keys of one owner share what is kept for them.
      const id = makeId()
      await book.create(text, { label: "made at /auth/key", owner: id }, id)
      return c.json({ key: text }, 200, FIELDS)
    })
  serveApi(
    serve,
    api,
    () => "public",
    (status, message) => Response.json({ message }, { status, headers: FIELDS }),
  )
}

interface Refusal {
  readonly status: 401 | 429 | 503
  readonly message: string
  readonly fields: Record<string, string>
}

function refusal(status: number): Refusal {
  if (status === 429) return { status, message: "Try again later", fields: FIELDS }
  if (status !== 401) return { status: 503, message: "Try again later", fields: { ...FIELDS, "Retry-After": "5" } }
  return { status, message: "Unauthorized", fields: { ...FIELDS, "WWW-Authenticate": "Bearer" } }
}
