/**
 * Whose key a request goes to the cloud with, and whether it may go at all. Intercepted requests keep theirs. A request
 * to the proxy's own address keeps a key of OpenAI's kind; else `cloudKey` takes its place, towards the base upstream
 * alone. With neither, no prompt leaves the machine.
 */
import { type Flow, isLoopbackHost, isObject, isOpenAiKey, isPlaceholderKey, type JsonValue } from "llmproxy"
import { ROUTES } from "../shared/local-answers.ts"
import type { ConductorOptions } from "./options.ts"

/** Fields of the client's that belong to another key, or to another site. */
const BESIDES = ["api-key", "x-api-key", "cookie", "openai-organization", "openai-project"]
const CHAT = /\/chat\/completions\/?($|\?)/
/** Nesting beyond this is no conversation; llmproxy does not read much deeper ones as a request to a model. */
const DEPTH_MAX = 500

export interface Credentials {
  /** A sentence for whoever is told to set a key and has, with a space before it; else empty. */
  readonly dropped: string
  /** Whether the request can go to the cloud. */
  usable(flow: Flow): boolean
  /** The fields to ask the base upstream with in another request than the flow's own; undefined without a key. */
  fields(flow: Flow): Record<string, string> | undefined
  /** The `request` hook: gives a base-URL request its key, or refuses what would leave the machine without one. */
  admit(flow: Flow): void
}

export function credentials(options: Pick<ConductorOptions, "cloudKey">): Credentials {
  const cloudKey = (flow: Flow) => {
    const key = options.cloudKey?.trim()
    return key === undefined || isPlaceholderKey(key) || !flow.client.mayUseKeys ? undefined : key
  }
  const dropped = () => {
    const key = options.cloudKey?.trim() ?? ""
    return key !== "" && isPlaceholderKey(key) ? " (It is set, to a placeholder, which is not used.)" : ""
  }
  return {
    get dropped() {
      return dropped()
    },
    usable: (flow) => !flow.baseUrl || ownKey(flow) !== undefined || cloudKey(flow) !== undefined,
    fields(flow) {
      const key = ownKey(flow) ?? cloudKey(flow)
      return key === undefined ? undefined : { Authorization: `Bearer ${key}` }
    },
    admit(flow) {
      if (!staysAtDoor(flow) || ownKey(flow) !== undefined) return
      const key = cloudKey(flow)
      if (key !== undefined) {
        for (const name of BESIDES) flow.request.headers.delete(name)
        flow.route({ headers: { Authorization: `Bearer ${key}` } })
      } else if (mayCarryPrompt(flow)) refuse(flow, dropped())
    },
  }
}

/** Whether the request came to the proxy's own address and, so far, goes to the base upstream. */
export function staysAtDoor(flow: Flow): boolean {
  if (!flow.baseUrl || flow.parent !== undefined || flow.routed?.url !== undefined) return false
  return new URL(flow.request.url).origin === new URL(flow.original.url).origin
}

/** A key that the client itself has for OpenAI. */
function ownKey(flow: Flow): string | undefined {
  const bearer = /^Bearer\s+(\S+)\s*$/i.exec(flow.request.headers.get("authorization") ?? "")?.[1]
  return bearer !== undefined && isOpenAiKey(bearer) ? bearer : undefined
}

/**
 * Whether the request would take what somebody wrote off this machine. A chat that can be read is for the `llmRequest`
 * hook to decide on; one that llmproxy would pass on unread is not.
 */
function mayCarryPrompt(flow: Flow): boolean {
  const { method, host, path, headers } = flow.request
  if (isLoopbackHost(host)) return false
  const hasBody = headers.has("transfer-encoding") || Number(headers.get("content-length") ?? 0) > 0
  // Behind an upgrade (the realtime API's WebSocket) anything may follow.
  if (/^(GET|HEAD|OPTIONS)$/.test(method) && !hasBody && !headers.has("upgrade")) return false
  return !(method === "POST" && CHAT.test(path) && readsAsChat(flow))
}

function readsAsChat({ request }: Flow): boolean {
  try {
    const body = request.json()
    const intact = !request.text.includes("\uFFFD") || Buffer.from(request.text).equals(request.bytes)
    if (!intact || !isObject(body) || !Array.isArray(body.messages) || isDeeper(body, DEPTH_MAX)) return false
    return body.messages.every((message) => isObject(message) && typeof message.role === "string")
  } catch {
    return false // not collected, not decoded, or no JSON
  }
}

function isDeeper(value: JsonValue | undefined, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1))
}

function refuse(flow: Flow, dropped: string): void {
  const { method, path, host } = flow.request
  const unread = method === "POST" && CHAT.test(path) ? "the body is no chat that can be read" : undefined
  const reason = unread === undefined ? `no key for ${host}` : `${unread}, and no key for ${host}`
  flow.route({ name: ROUTES.local, reason })
  flow.respond({
    status: 401,
    error: {
      code: "invalid_api_key",
      type: "invalid_request_error",
      message:
        `llmproxy: ${method} ${path.split("?", 1)[0]} would go to ${host}, ` +
        `${unread === undefined ? "" : `as ${unread}, `}and the request has no key for it. ` +
        (flow.client.mayUseKeys
          ? `Give the client a key that starts with sk-, or set OPENAI_API_KEY where llmproxy runs.${dropped}`
          : "Give the client a key that starts with sk-: llmproxy's own is for clients that authenticate (--proxy-auth)."),
    },
  })
}
