/**
 * Answers requests to the proxy's own address: those that an addon's route claims, and those for our own page. A request
 * ends here: it is no flow. Which path is whose is routes.ts, what bodies become is web.ts; that Host and Origin were
 * looked at, and the proxy's password, is lib/proxy/session's.
 */
import type { ClientInfo } from "../api/flow.ts"
import { CALLER, type RefusedAnswer, type ServeAccess } from "../api/serve.ts"
import { abortOfMany } from "../base/aborts.ts"
import { addonFailure, FlowError, flowErrorOf, retryFields } from "../base/errors.ts"
import type { Asks } from "../proxy/flow/authenticate.ts"
import { refuse, type Serving } from "../proxy/session/front-door.ts"
import { isOwnPath } from "../proxy/session/own-names.ts"
import type { ProxySettings } from "../proxy/settings.ts"
import type { ClientStream } from "../proxy/streams.ts"
import { isAdmin } from "./access.ts"
import { urlOf } from "./paths.ts"
import type { Route, RouteTable } from "./routes.ts"
import { headOf, requestOf, sendResponse, tooLarge } from "./web.ts"

/** Answers a request for our own page; undefined: nothing is there. `Request.method` is GET or HEAD. */
export type OwnPage = (request: Request) => Promise<Response | undefined>

export interface ServingOptions {
  /** As they are now. */
  routes(): RouteTable
  readonly page: OwnPage
  /** As they are now. */
  readonly settings: Pick<ProxySettings, "bodyLimit" | "trustedProxies">
  /** What shows that one runs the proxy. */
  readonly adminToken: string
  /** A version of an addon is at work until what is returned is called. */
  hold(): () => void
  /** A handler has failed. */
  failed(addon: string, what: string, error: unknown): void
}

/** A 401 has to say how (RFC 9110 section 15.5.2). */
const CHALLENGE: readonly [string, string][] = [["WWW-Authenticate", 'Bearer realm="llmproxy"']]

type WhoAsks = Parameters<Serving["answer"]>[1]

type Answering = (request: Request, signal: AbortSignal) => Response | Promise<Response>

export class WebServing implements Serving {
  readonly #options: ServingOptions

  constructor(options: ServingOptions) {
    this.#options = options
  }

  claims(method: string, target: string): boolean {
    return this.#options.routes().find(method, target) !== undefined
  }

  async answer(stream: ClientStream, whoAsks: WhoAsks): Promise<void> {
    const { method, path } = stream.head
    if (!stream.baseUrl || isOwnPath(path)) return this.#page(stream)
    const found = this.#options.routes().find(method, path)
    if (found === undefined) return refuse(stream, notFound(path)) // It went with its addon a moment ago.
    if (found.kind === "other-method") return refuse(stream, otherMethod(method), [["Allow", found.allow.join(", ")]])
    const url = urlOf(originOf(stream), path)
    if (found.kind === "unclear" || url === undefined) return refuse(stream, unclear())
    if (stream.head.upgrade?.toLowerCase() === "websocket") return refuse(stream, noWebSocket())
    const letGo = this.#options.hold()
    try {
      await this.#route(stream, url, found.route, whoAsks)
    } finally {
      letGo()
    }
  }

  async #page(stream: ClientStream): Promise<void> {
    const { method, path } = stream.head
    const url = urlOf(originOf(stream), path)
    if (method !== "GET" && method !== "HEAD") return refuse(stream, otherMethod(method), [["Allow", "GET, HEAD"]])
    if (url === undefined) return refuse(stream, notFound(path))
    const { page } = this.#options
    await this.#answerWith(stream, url, async (request) => {
      const found = await page(request)
      if (found === undefined) throw notFound(path)
      return found
    })
  }

  async #route(stream: ClientStream, url: URL, route: Route, whoAsks: WhoAsks): Promise<void> {
    const { addon, method, path, access, handler, log, refused } = route
    const { adminToken, settings } = this.#options
    const isProven = access !== "admin" || isAdmin(stream, adminToken, settings.trustedProxies.length > 0)
    const client = await told(whoAsks, isProven ? access : "open")
    // Without the token it may be somebody of whom the addon that asks everywhere says so.
    if (!isProven && (client instanceof FlowError || client.claims?.admin !== true))
      return keptOut(stream, notAdmin(), refused)
    if (client instanceof FlowError) return keptOut(stream, client, refused)
    const { user, label, claims, address } = client
    const context = { user, label, claims, address, log, [CALLER]: client }
    try {
      await this.#answerWith(stream, url, (request, signal) => handler(request, { ...context, signal }), refused)
    } catch (thrown) {
      this.#options.failed(addon, `serve ${method} ${path}`, thrown)
    }
  }

  /** Rejects with what `answering` has failed with, when the client has had its answer. */
  async #answerWith(stream: ClientStream, url: URL, answering: Answering, refused?: RefusedAnswer): Promise<void> {
    const { bodyLimit } = this.#options.settings
    const left = abortOfMany()
    stream.onAbort((reason) => left.abort(reason))
    if ((stream.body.length ?? 0) > bodyLimit) return refuse(stream, tooLarge(bodyLimit))
    let given: ReturnType<typeof headOf>
    try {
      const { request, goOn } = requestOf(stream, url, left.signal, bodyLimit)
      given = headOf(await unlessLeft(answering(request, left.signal), left.signal))
      if (given.response.ok) goOn() // Its body may be made of the request's.
    } catch (thrown) {
      if (left.signal.aborted) return
      // What the client did (a body that is too large, or stalls) is told to it, and is nobody's failure.
      if (thrown instanceof FlowError && thrown.source === "client") return refuse(stream, thrown)
      const message = "what answers here has failed"
      await keptOut(stream, addonFailure("serve-failed", message, message, thrown), refused)
      throw thrown
    }
    await sendResponse(stream, given.head, given.response.body, left.signal)
  }
}

/** Gets no answer: of an API whose errors have a form of their own, in that. */
async function keptOut(stream: ClientStream, error: FlowError, refused: RefusedAnswer | undefined): Promise<void> {
  const fields = error.status === 401 ? CHALLENGE : retryFields(error.status)
  let answer: ReturnType<typeof headOf> | undefined
  try {
    if (refused !== undefined) answer = headOf(refused(error.status, error.told))
  } catch {
    // What keeps out does so whatever becomes of its words.
  }
  if (answer === undefined) return refuse(stream, error, fields)
  const { head, response } = answer
  stream.onAbort(() => {})
  for (const [name, value] of fields) if (!head.headers.has(name)) head.headers.set(name, value)
  await sendResponse(stream, head, response.body, new AbortController().signal)
}

/** What a handler gives, unless the client leaves first: then nobody waits for it, and its body is cancelled. */
function unlessLeft(given: Response | Promise<Response>, signal: AbortSignal): Promise<Response> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason)
    signal.addEventListener("abort", leave, { once: true })
    if (signal.aborted) leave()
    Promise.resolve(given).then(
      (response) => {
        signal.removeEventListener("abort", leave)
        if (signal.aborted) response?.body?.cancel().catch(() => {})
        else resolve(response)
      },
      (error: unknown) => {
        signal.removeEventListener("abort", leave)
        reject(error)
      },
    )
  })
}

const ASKS: Readonly<Record<ServeAccess, Asks>> = {
  public: "never",
  open: "everywhere",
  user: "always",
  admin: "never",
}

/** The client, or why it gets nothing. */
async function told(whoAsks: WhoAsks, access: ServeAccess): Promise<ClientInfo | FlowError> {
  try {
    const client = await whoAsks(ASKS[access])
    if (client instanceof FlowError || access !== "user" || client.user !== undefined) return client
    return unknown()
  } catch (thrown) {
    return flowErrorOf(thrown, 500)
  }
}

/** At our own address by the name that the client used; through the proxy by our own. */
function originOf({ baseUrl, head, connection }: ClientStream): string {
  if (!baseUrl) return `${head.scheme}://${head.host}`
  return `${connection.tls === undefined ? "http" : "https"}://${head.headers.get("host") ?? ""}`
}

function notFound(target: string): FlowError {
  return new FlowError("client", "not-found", `nothing is served at ${target} here`, { status: 404 })
}

function otherMethod(method: string): FlowError {
  return new FlowError("client", "other-method", `${method} is not served at this path`, { status: 405 })
}

function unclear(): FlowError {
  const message = "the path can be read in two ways; write it without dot segments, backslashes and encoded slashes"
  return new FlowError("client", "unclear-path", message)
}

function noWebSocket(): FlowError {
  return new FlowError("client", "no-websocket", "no WebSocket is served at this path", { status: 501 })
}

function notAdmin(): FlowError {
  const message = "this is for who runs the proxy: send its admin token as Authorization: Bearer TOKEN"
  return new FlowError("client", "not-admin", message, { status: 401 })
}

function unknown(): FlowError {
  return new FlowError("client", "unknown-user", "who asks is not known here", { status: 401 })
}
