/**
 * Who opens a tunnel, where an addon asks everywhere: it names the connection, and with it all that comes in the tunnel.
 * Where proxy users are declared their password opens it, as no client has two passwords for one proxy; the requests
 * within are asked one by one.
 */
import type { AuthenticateHookInfo } from "../../api/hooks.ts"
import { FlowError, flowErrorOf } from "../../base/errors.ts"
import { Headers } from "../../base/headers.ts"
import type { RequestHead } from "../../http1/message.ts"
import type { HookChain } from "../../loader/chain.ts"
import type { Access } from "../access/access.ts"
import { authenticateTunnel, type TunnelAsk } from "../flow/authenticate.ts"
import type { ExchangeCore } from "../flow/core.ts"
import type { ClientConnection } from "./client-connection.ts"
import { authorise } from "./front-door.ts"
import type { Place } from "./place.ts"

export interface TunnelDoor {
  readonly access: Access
  readonly core: ExchangeCore
  /** As it is now. */
  chain(): HookChain
}

/** Undefined: a CONNECT may be answered, and the connection has its name. Else the error for the client. Never rejects. */
export async function askConnect(
  door: TunnelDoor,
  connection: ClientConnection,
  place: Place,
  { target, headers }: Pick<RequestHead, "target" | "headers">,
): Promise<FlowError | undefined> {
  const refusal = await authorise({ access: door.access, settings: door.core.settings }, connection, place, headers)
  return refusal ?? nameTunnel(door, connection, "connect", { method: "CONNECT", path: target, headers })
}

/** What a SOCKS client's user and password are checked by; undefined: nobody has to authenticate. */
export function socksCheck(
  door: TunnelDoor,
  connection: ClientConnection,
): ((user: string, password: string) => Promise<boolean>) | undefined {
  const { access } = door
  if (access.required) return (user, password) => access.authenticate(user, password, connection.address)
  if (!door.chain().asksEverywhere) return undefined
  return async (user, password) => {
    const basic = Buffer.from(`${user}:${password}`).toString("base64")
    const headers = new Headers({ "Proxy-Authorization": `Basic ${basic}` })
    return (await nameTunnel(door, connection, "socks", { method: "CONNECT", path: "", headers })) === undefined
  }
}

async function nameTunnel(
  door: TunnelDoor,
  connection: ClientConnection,
  via: TunnelAsk["via"],
  request: AuthenticateHookInfo["request"],
): Promise<FlowError | undefined> {
  const chain = door.chain()
  if (door.access.required || !chain.asksEverywhere) return undefined
  try {
    const named = await authenticateTunnel({ via, connection, request }, chain, door.core)
    if (named instanceof FlowError) return named
    connection.identity = named
    return undefined
  } catch (thrown) {
    return flowErrorOf(thrown, 500)
  }
}
