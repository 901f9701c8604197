/**
 * Local-LLM-API's calls: GET /auth says whether a key is one, POST /auth/key (and GET, as its code did) makes one for the master.
 * Its clients send the raw key as Authorization, with and without a slash at the end of the path.
 */
import { Headers, type Serve, type ServeContext } from "llmproxy"
import type { Key, KeyBook } from "./book.ts"
import type { Doorman } from "./doorman.ts"
import { makeKey } from "./secret.ts"

/** A key is in none of them that a cache could keep. */
const FIELDS = { "Cache-Control": "no-store" }

export function serveAuth(serve: Serve, opened: () => Promise<{ book: KeyBook; doorman: Doorman }>): void {
  const ask = async (
    request: Request,
    { address }: ServeContext,
  ): Promise<{ book: KeyBook; key: Key | undefined; status: number }> => {
    const { book, doorman } = await opened()
    const found = await doorman.find(new Headers([...request.headers]), address)
    return {
      book,
      key: found.kind === "key" ? found.key : undefined,
      status: found.kind === "refused" ? found.status : 401,
    }
  }
  for (const end of ["", "/"]) {
    serve({ method: "GET", path: `/auth${end}`, access: "public" }, async (request, context) => {
      const { key, status } = await ask(request, context)
      return key === undefined ? unauthorized(status) : Response.json({ auth: true }, { headers: FIELDS })
    })
    for (const method of ["GET", "POST"])
      serve({ method, path: `/auth/key${end}`, access: "public" }, async (request, context) => {
        const { book, key, status } = await ask(request, context)
        if (key === undefined || !key.admin) return unauthorized(status)
        const made = makeKey()
        await book.create(made, { label: "made at /auth/key" })
        return Response.json({ key: made }, { headers: FIELDS })
      })
  }
}

function unauthorized(status: number): Response {
  const message = status === 401 ? "Unauthorized" : "Try again later"
  return Response.json(
    { message },
    { status, headers: { ...FIELDS, ...(status === 401 ? { "WWW-Authenticate": "Bearer" } : {}) } },
  )
}
