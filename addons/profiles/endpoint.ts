/** `POST /models/model`, as Local-LLM-API has it: chooses a profile, and answers with 200 and true or what is wrong. */
import { type AddonContext, isLoopbackHost, type ServeContext } from "llmproxy"
import { createRoute, makeApi, serveApi, z } from "llmproxy/openapi"
import { claimsOf } from "../shared/claims.ts"
import { contextsIn } from "../shared/context-size.ts"
import { PROFILE_ALIAS } from "../shared/listed-names.ts"
import type { ProfileBook } from "./book.ts"
import { type Choices, FOR_ALL } from "./choices.ts"

/** Milliseconds that the list of models may take. */
const LIST_MS = 10_000
/** Names of a message; more are counted. */
const NAMES_MAX = 12
/** Characters of a model's name. */
const MODEL_CHARS_MAX = 256

const Switch = z
  .object({
    model: z.string({ error: "must be a model's name" }).max(MODEL_CHARS_MAX).nullish(),
    model_config: z
      .string({ error: "must be the name of a profile" })
      .openapi({ description: "The profile, as in data/config.json or profiles.list." }),
  })
  .openapi("ProfileSwitch")
const Status = z.object({ model_status: z.union([z.literal(true), z.string()]) }).openapi("ProfileStatus")

const Unauthorized = z.object({ message: z.string() }).openapi("Unauthorized")

type Context = Pick<AddonContext, "serve" | "send" | "log"> & { readonly options: { readonly sharedSwitch: boolean } }

export function serveSwitch(context: Context, book: ProfileBook, choices: Choices): void {
  const api = makeApi((message) => status(message))
  api.openapi(
    createRoute({
      method: "post",
      path: "/models/model",
      tags: ["profiles"],
      summary: "Choose the model and the profile",
      description: "With an admin's key for all, with another key for that key.",
      request: { body: { required: true, content: { "application/json": { schema: Switch } } } },
      responses: {
        200: { description: "True, or what is wrong.", content: { "application/json": { schema: Status } } },
        401: { description: "No valid key.", content: { "application/json": { schema: Unauthorized } } },
        503: {
          description: "The choice cannot be kept now.",
          content: { "application/json": { schema: Unauthorized } },
        },
      },
    }),
    async (c) => {
      const { caller } = c.env
      const whom = whomOf(caller, context.options.sharedSwitch)
      if (whom === undefined) return c.json({ message: "Unauthorized" }, 401)
      const { model, model_config: profile } = c.req.valid("json")
      if (book.named(profile) === undefined)
        return c.json(
          { model_status: `no profile is called ${JSON.stringify(profile.slice(0, 80))}; ${book.names}` },
          200,
        )
      const isNamed = model !== undefined && model !== null && model !== ""
      const wrong = isNamed ? await wrongModel(context, caller, model) : undefined
      if (wrong !== undefined) return c.json({ model_status: wrong }, 200)
      await choices.set(whom, { profile, model: isNamed ? model : undefined })
      const { label = "whoever asks" } = caller
      context.log.info(`profile ${profile} was chosen by ${label} for ${whom === FOR_ALL ? "all" : "its own requests"}`)
      return c.json({ model_status: true as const }, 200)
    },
  )
  serveApi(context.serve, api, () => "open", unauthorized)
}

/** Whose choice it is. Undefined: nobody's that is known, from another machine. */
function whomOf(caller: ServeContext, isShared: boolean): string | undefined {
  const whom = chooserOf(caller)
  if (whom === undefined) return isLoopbackHost(caller.address) ? FOR_ALL : undefined
  return isShared || claimsOf(caller)?.admin === true ? FOR_ALL : whom
}

/** By what a client's own choice is kept; undefined: nobody has named it. */
export function chooserOf({ user, claims }: Pick<ServeContext, "user" | "claims">): string | undefined {
  const key = claimsOf({ claims })?.key
  if (key !== undefined) return `key:${key}`
  return user === undefined ? undefined : `user:${user}`
}

/** Why this model cannot be chosen; a list that cannot be had says nothing against it. */
async function wrongModel({ send }: Context, caller: ServeContext, model: string): Promise<string | undefined> {
  const answer = await send({ method: "GET" }, { url: "/v1/models", until: "end", timeoutMs: LIST_MS, caller })
  if (answer.failure !== undefined || answer.status !== 200) return undefined
  let ids: string[]
  try {
    ids = [...contextsIn(JSON.parse(await answer.text())).keys()].filter((id) => !id.startsWith(PROFILE_ALIAS))
  } catch {
    return undefined
  }
  if (ids.length === 0 || ids.includes(model)) return undefined
  const more = ids.length > NAMES_MAX ? " and more" : ""
  return `no model is called ${JSON.stringify(model)}; there are ${ids.slice(0, NAMES_MAX).join(", ")}${more}`
}

function status(text: string): Response {
  return Response.json({ model_status: text })
}

function unauthorized(code: number, message: string): Response {
  return Response.json({ message: code === 401 ? "Unauthorized" : message }, { status: code })
}
