/**
 * What the proxy itself answers: requests that become no flow and that no addon sees, because the client may not send
 * any, or because they are meant for us. Works on any ClientStream, whatever protocol it came in.
 */
import type { ClientInfo } from "../../api/flow.ts"
import { FlowError } from "../../base/errors.ts"
import type { Headers } from "../../base/headers.ts"
import { statusText } from "../../http1/status-text.ts"
import type { Access } from "../access/access.ts"
import { clientAddress } from "../access/forwarded.ts"
import { refusalText } from "../access/refusal.ts"
import type { Asks } from "../flow/authenticate.ts"
import type { ProxySettings } from "../settings.ts"
import type { ClientStream } from "../streams.ts"
import type { ClientConnection } from "./client-connection.ts"
import { isOwnPath, OWN_HOST } from "./own-names.ts"
import type { Place } from "./place.ts"

/**
 * Whether the client may send what stands in `headers`: undefined, or the error that it gets. Notes the user on the
 * connection. Inside a tunnel whoever opened it has been asked already.
 */
export async function authorise(
  { access, settings }: { readonly access: Access; readonly settings: Pick<ProxySettings, "trustedProxies"> },
  connection: ClientConnection,
  place: Place,
  headers: Headers,
): Promise<FlowError | undefined> {
  if (!access.required || (place.kind === "tunnel" && connection.user !== undefined)) return undefined
  const checked = await access.checkHeader(headers, clientAddress(connection, headers, settings))
  if (!("user" in checked)) return checked
  connection.user = checked.user
  headers.delete("proxy-authorization") // It was for us alone: no addon, no recording and no upstream sees it.
  return undefined
}

/** Answers a request with an error in plain text; a 407 has its challenge. For HEAD only its length is sent. */
export function refuse(stream: ClientStream, error: FlowError, fields: readonly [string, string][] = []): void {
  const { headers, body } = refusalText(error, fields)
  stream.onAbort(() => {})
  stream.respond({ status: error.status, reason: statusText(error.status), headers }, body.length)
  if (stream.head.method !== "HEAD") stream.write(body)
  stream.end()
}

/** What the proxy serves itself, at its own address and under its own name; nothing here knows what that is. */
export interface Serving {
  /** Whether a request at our own address is for it. `target` as it came, with its query. What is not, passes on. */
  claims(method: string, target: string): boolean
  /**
   * Answers a request that it claims, or one for our own page. Never rejects. `whoAsks`: the client, as an addon names it if
   * one does, or the error for it; may reject with a FlowError.
   */
  answer(stream: ClientStream, whoAsks: (asks: Asks) => Promise<ClientInfo | FlowError>): Promise<void>
}

export interface Door {
  /** Whether clients have to authenticate. */
  readonly isGuarded: boolean
  /** Whether the client may send this: undefined, or the error that it gets. */
  authorise(headers: Headers): Promise<FlowError | undefined>
  /** Who asks for what is served: see Serving. */
  whoAsks(stream: ClientStream, asks: Asks): Promise<ClientInfo | FlowError>
  /** Default: nothing is served. */
  readonly serving: Serving | undefined
}

/** Answers what becomes no flow; resolves with whether it did. Undefined, without a wait: it becomes one. */
export function answerAtDoor(stream: ClientStream, door: Door): Promise<boolean> | undefined {
  const isOwn = stream.head.host === OWN_HOST
  // The page that sets a device up is there for who has no password yet.
  const isAsked = door.isGuarded && !(isOwn && stream.baseUrl && isOwnPath(stream.head.path))
  return isAsked || isOwn ? answerOrPass(stream, door, isAsked, isOwn) : undefined
}

async function answerOrPass(stream: ClientStream, door: Door, isAsked: boolean, isOwn: boolean): Promise<boolean> {
  const refusal = isAsked ? await door.authorise(stream.head.headers) : undefined
  if (refusal !== undefined) refuse(stream, refusal)
  else if (!isOwn) return false
  else if (door.serving !== undefined) await door.serving.answer(stream, (asks) => door.whoAsks(stream, asks))
  else refuse(stream, new FlowError("client", "not-found", "nothing is served here", { status: 404 }))
  return true
}
