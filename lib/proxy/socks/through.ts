/**
 * Goes through a SOCKS5 proxy, on a connection that was made already (RFC 1928, RFC 1929). Names are resolved by the
 * proxy. The package `socks` would do it, but throws into a socket's callback where a user is longer than 255 bytes,
 * does not notice a proxy that half-closes, and hands what the upstream says first to whoever happens to listen.
 */
import { isIPv4, isIPv6, type Socket } from "node:net"
import { FlowError } from "../../base/errors.ts"
import { hostAndPort } from "../io/authority.ts"
import type { ViaProxy } from "../io/via-address.ts"
import { HandshakeReader, type Read } from "./handshake-reader.ts"
import { AUTH_VERSION, CONNECT, DOMAIN, IPV4, IPV6, NO_AUTH, USER_PASSWORD, VERSION } from "./wire.ts"

type Fail = (code: string, what: string) => FlowError

/** Asks for a connection to `to`. Rejects with a FlowError; the caller closes. */
export async function socksThrough(
  socket: Socket,
  { host, port, credentials }: ViaProxy,
  to: { host: string; port: number },
): Promise<void> {
  const places = `connect ${hostAndPort(to.host, to.port)} through ${hostAndPort(host, port)}`
  const fail: Fail = (code, what) => new FlowError("upstream", code, `${places}: ${what}; the request was not sent`)
  const reader = new HandshakeReader(socket, fail("proxy-closed", "the proxy closed the connection"))
  try {
    const methods = credentials === undefined ? [NO_AUTH] : [NO_AUTH, USER_PASSWORD]
    socket.write(Buffer.from([VERSION, methods.length, ...methods]))
    const method = await reader.read((bytes) => readPair(bytes, VERSION, fail))
    if (method === USER_PASSWORD && credentials !== undefined) {
      socket.write(credentialsMessage(credentials, fail))
      const status = await reader.read((bytes) => readPair(bytes, AUTH_VERSION, fail))
      if (status !== 0) throw fail("proxy-refused", "the proxy does not accept the user and password")
    } else if (method !== NO_AUTH) throw fail("proxy-refused", unusable(credentials !== undefined))
    socket.write(requestMessage(to))
    await reader.read((bytes) => readReply(bytes, fail))
  } finally {
    reader.stop()
  }
}

function unusable(hasCredentials: boolean): string {
  if (hasCredentials) return "the proxy wants to know who we are by other means than user and password"
  return "the proxy wants credentials; write them as socks5://user:password@host:port"
}

/** Answers to the greeting and to the credentials: a version and one byte. */
function readPair(bytes: Buffer, version: number, fail: Fail): Read<number> | undefined {
  const [first, second] = bytes
  if (first !== undefined && first !== version) throw notSocks(fail)
  return second === undefined ? undefined : { value: second, size: 2 }
}

function credentialsMessage({ user, password }: { user: string; password: string }, fail: Fail): Buffer {
  const [name, secret] = [Buffer.from(user), Buffer.from(password)]
  if (name.length > 255 || secret.length > 255)
    throw fail("proxy-refused", "SOCKS takes users and passwords of at most 255 bytes")
  return Buffer.concat([Buffer.from([AUTH_VERSION, name.length]), name, Buffer.from([secret.length]), secret])
}

/** `host` is in the one spelling in which hosts are dialled: a name has at most 253 bytes. */
function requestMessage({ host, port }: { host: string; port: number }): Buffer {
  const message = Buffer.from([VERSION, CONNECT, 0, ...addressOf(host), 0, 0])
  message.writeUInt16BE(port, message.length - 2)
  return message
}

function addressOf(host: string): number[] {
  if (isIPv4(host)) return [IPV4, ...host.split(".").map(Number)]
  if (!isIPv6(host)) return [DOMAIN, host.length, ...Buffer.from(host)]
  const [front = "", back] = host.split("::")
  const groups = (text: string | undefined) => (text === undefined || text === "" ? [] : text.split(":"))
  const [head, tail] = [groups(front), groups(back)]
  const all = [...head, ...Array<string>(8 - head.length - tail.length).fill("0"), ...tail]
  return [IPV6, ...all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff])]
}

/** The address that the proxy uses is read and left: nobody needs it. */
function readReply(bytes: Buffer, fail: Fail): Read<undefined> | undefined {
  const [version, code, , type, length] = bytes
  if (version !== undefined && version !== VERSION) throw notSocks(fail)
  // Some proxies send no address with a refusal.
  if (code !== undefined && code !== 0)
    throw fail(...(REPLIES[code] ?? ["proxy-refused", `the proxy refused it (${code})`]))
  if (type === undefined || length === undefined) return undefined
  const size = 6 + (type === IPV4 ? 4 : type === IPV6 ? 16 : 1 + length)
  return bytes.length < size ? undefined : { value: undefined, size }
}

const REPLIES: Readonly<Record<number, readonly [code: string, what: string]>> = {
  1: ["proxy-refused", "the proxy failed (general failure)"],
  2: ["proxy-refused", "the proxy's rules do not allow it"],
  3: ["unreachable", "the proxy found no way to that network"],
  4: ["unreachable", "the proxy found no such host, or no way to it"],
  5: ["connection-refused", "the proxy was refused there; is a server running?"],
  6: ["connect-timeout", "the proxy gave up (TTL expired)"],
  7: ["proxy-refused", "the proxy makes no connections (command not supported)"],
  8: ["proxy-refused", "the proxy cannot use such an address"],
}

function notSocks(fail: Fail): FlowError {
  return fail("proxy-broken", "the proxy's answer is no SOCKS5")
}
