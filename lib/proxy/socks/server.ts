/**
 * A client's SOCKS5 handshake on one socket: greeting, user and password where they are asked for, request. What comes
 * behind it stays in the socket, for whoever serves the tunnel.
 */
import type { Socket } from "node:net"
import type { Clock } from "../../base/clock.ts"
import { FlowError } from "../../base/errors.ts"
import { closeGently } from "../io/close.ts"
import { HandshakeReader } from "./handshake-reader.ts"
import {
  credentialsReply,
  methodReply,
  NO_AUTH,
  readCredentials,
  readGreeting,
  readRequest,
  replyFor,
  requestReply,
  SocksRefusal,
  SUCCEEDED,
  USER_PASSWORD,
} from "./wire.ts"

export interface SocksOptions {
  readonly clock: Clock
  /** The whole handshake has to come within this. */
  readonly timeoutMs: number
  /** Asked for every client, where somebody has to authenticate; undefined: everybody may come. */
  readonly authenticate?: ((user: string, password: string) => Promise<boolean>) | undefined
}

export interface SocksRequest {
  readonly host: string
  readonly port: number
  /** Who has authenticated. */
  readonly user: string | undefined
  /** From here on the socket is the tunnel. */
  accept(): void
  /** Says in SOCKS's terms what went wrong, and closes. */
  refuse(error: FlowError): void
}

/**
 * Reads the handshake; the socket is left paused. Rejects with a FlowError, after the client has been told in SOCKS's
 * terms where it has one; code "gone" where the client just left.
 */
export async function acceptSocks(socket: Socket, options: SocksOptions): Promise<SocksRequest> {
  const { clock, timeoutMs } = options
  const reader = new HandshakeReader(
    socket,
    new FlowError("client", "gone", "the client left during the SOCKS handshake"),
  )
  const late = `the SOCKS handshake was not whole within ${timeoutMs} ms`
  const timer = clock.after(timeoutMs, () => reader.end(new FlowError("client", "header-timeout", late)))
  try {
    const user = await authenticate(socket, reader, options)
    const { host, port } = await reader.read(readRequest)
    return {
      host,
      port,
      user,
      accept: () => void socket.write(requestReply(SUCCEEDED)),
      refuse: (error) => end(socket, requestReply(replyFor(error)), clock),
    }
  } catch (thrown) {
    if (thrown instanceof SocksRefusal) end(socket, requestReply(replyFor(thrown)), clock)
    if (!socket.writableEnded) socket.destroy() // There are no words in SOCKS for it.
    throw thrown
  } finally {
    timer.cancel()
    reader.stop()
  }
}

/** Resolves with the user's name; undefined where nobody has to say who they are. */
async function authenticate(
  socket: Socket,
  reader: HandshakeReader,
  { clock, authenticate: check }: SocksOptions,
): Promise<string | undefined> {
  const offered = await reader.read(readGreeting)
  // A client that offers only credentials may come without having them checked: some are built like that.
  const usable = check === undefined ? [NO_AUTH, USER_PASSWORD] : [USER_PASSWORD]
  const method = usable.find((one) => offered.includes(one))
  if (method === undefined) {
    end(socket, methodReply(undefined), clock)
    const what = check === undefined ? "a method that is known here" : "user and password, which are asked for here"
    throw new FlowError("client", "no-method", `the SOCKS client does not offer ${what}`)
  }
  socket.write(methodReply(method))
  if (method === NO_AUTH) return undefined
  const { user, password } = await reader.read(readCredentials)
  if (check === undefined) {
    socket.write(credentialsReply(true))
    return undefined
  }
  try {
    if (!(await check(user, password)))
      throw new FlowError("client", "bad-credentials", "SOCKS: wrong user or password")
  } catch (thrown) {
    end(socket, credentialsReply(false), clock)
    throw thrown
  }
  socket.write(credentialsReply(true))
  return user
}

function end(socket: Socket, last: Buffer, clock: Clock): void {
  socket.write(last)
  closeGently(socket, clock)
}
