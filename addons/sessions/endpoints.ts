/** Local-LLM-API's calls that are of sessions: POST and GET /answer, GET /models. keys has /auth, profiles /models/model. */
import type { AddonContext, Logger } from "llmproxy"
import { type Api, createRoute, makeApi, serveApi, z } from "llmproxy/openapi"
import { answer, said } from "./answer.ts"
import type { Asker } from "./asker.ts"
import { ID_RULE, idOf, ownerOf } from "./ids.ts"
import type { SessionStore } from "./store.ts"
import type { Turns } from "./turns.ts"

const NO_QUESTION = 'Question not provided: send it as a text, {"prompt": "..."}'
/** Sessions of one page. */
const PAGE_MAX = 10_000

const Question = z
  .object({
    prompt: z.string({ error: NO_QUESTION }).refine((text) => text.trim() !== "", { error: NO_QUESTION }),
    session_id: z
      .union([z.int(), z.string()], { error: ID_RULE })
      .refine((id) => idOf(id) !== undefined, { error: ID_RULE })
      .nullish(),
    stream: z.boolean({ error: "must be true or false" }).nullish(),
  })
  .openapi("Question")
const Result = z.object({ result: z.string() }).openapi("Result")
const Message = z.object({ message: z.string() }).openapi("Message")
const Sessions = z.record(z.string(), z.string()).openapi("Sessions")
const Models = z.object({ models: z.array(z.string()) }).openapi("Models")
const Page = z.object({
  after: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).optional(),
})

const json = <S extends z.ZodType>(description: string, schema: S) => ({
  description,
  content: { "application/json": { schema } },
})
const WRONG = json("What is wrong.", Message)
/** In the same form; without a schema of its own, so that an answer may be a stream. */
const OTHER = { description: "What is wrong." }

export interface Parts {
  readonly asker: Asker
  readonly turns: Turns
  readonly store: SessionStore
}

type Opened = () => Promise<Parts>

export function serveSessions({ serve, log }: Pick<AddonContext, "serve" | "log">, opened: Opened): void {
  // Its own words say all: "prompt: Question not provided" would say it twice.
  const api = makeApi((message) => said(400, message.replace(/^prompt: /, "")))
  declareAnswer(api, log, opened)
  declareLists(api, opened)
  serveApi(
    serve,
    api,
    () => "open",
    (status, message) => (status === 401 ? unauthorized() : said(status, message)),
  )
}

function declareAnswer(api: Api, log: Logger, opened: Opened): void {
  api.openapi(
    createRoute({
      method: "post",
      path: "/answer",
      tags: ["sessions"],
      summary: "Ask",
      description: "In a session, or alone. With stream, or Accept: text/event-stream, chunks of OpenAI's chat come.",
      request: { body: { required: true, content: { "application/json": { schema: Question } } } },
      responses: {
        200: json("The answer.", Result),
        400: WRONG,
        401: WRONG,
        409: OTHER,
        429: OTHER,
        502: OTHER,
        503: OTHER,
      },
    }),
    async (c) => {
      const { caller } = c.env
      const owner = ownerOf(caller)
      if (owner === undefined) return unauthorized()
      const { prompt, session_id: given, stream } = c.req.valid("json")
      const isStream = stream ?? c.req.header("accept")?.includes("text/event-stream") === true
      const asked = { owner, session: idOf(given), prompt, stream: isStream }
      return answer(asked, c.req.raw, caller, { ...(await opened()), log })
    },
  )
}

function declareLists(api: Api, opened: Opened): void {
  api.openapi(
    createRoute({
      method: "get",
      path: "/answer",
      tags: ["sessions"],
      summary: "The caller's sessions, their names by their ids",
      request: { query: Page },
      responses: { 200: json("The sessions.", Sessions), 400: WRONG, 401: OTHER, 503: OTHER },
    }),
    async (c) => {
      const owner = ownerOf(c.env.caller)
      if (owner === undefined) return unauthorized()
      const { after, limit } = c.req.valid("query")
      const { store } = await opened()
      const page = { ...(after === undefined ? {} : { after }), ...(limit === undefined ? {} : { limit }) }
      const listed = await store.list(owner, page)
      return Response.json(Object.fromEntries(listed.map(({ id, name }) => [id, name])))
    },
  )
  api.openapi(
    createRoute({
      method: "get",
      path: "/models",
      tags: ["sessions"],
      summary: "The models that the caller may use",
      responses: { 200: json("Their names.", Models), 401: OTHER, 502: OTHER },
    }),
    async (c) => {
      if (ownerOf(c.env.caller) === undefined) return unauthorized()
      const { asker } = await opened()
      const models = await asker.models(c.env.caller)
      return typeof models === "string" ? said(502, models) : Response.json({ models })
    },
  )
}

function unauthorized(): Response {
  return said(401, "Unauthorized")
}
