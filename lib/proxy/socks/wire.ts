/**
 * The messages of SOCKS5 (RFC 1928; user and password: RFC 1929) as a server reads and writes them, without I/O. Every
 * reader gets all bytes that have come so far and returns undefined until its message is whole. Lengths are one byte,
 * so that the longest message is 513 bytes.
 */
import { FlowError } from "../../base/errors.ts"
import { canonicalAddress, normalHost } from "../io/authority.ts"
import type { Read } from "./handshake-reader.ts"

/** Methods of authentication. */
export const NO_AUTH = 0x00
export const USER_PASSWORD = 0x02
const NO_METHOD = 0xff

/** Replies of RFC 1928 section 6. */
export const SUCCEEDED = 0x00
const GENERAL_FAILURE = 0x01
const NOT_ALLOWED = 0x02
const NETWORK_UNREACHABLE = 0x03
const HOST_UNREACHABLE = 0x04
const REFUSED = 0x05
const COMMAND_NOT_SUPPORTED = 0x07
const ADDRESS_NOT_SUPPORTED = 0x08

export const VERSION = 5
export const AUTH_VERSION = 1
export const CONNECT = 1

/** The methods that a client offers. Throws a FlowError for what is no SOCKS5. */
export function readGreeting(bytes: Buffer): Read<readonly number[]> | undefined {
  const [version, count] = bytes
  if (version === undefined) return undefined
  if (version !== VERSION) throw notSocks(version)
  if (count === undefined || bytes.length < 2 + count) return undefined
  return { value: [...bytes.subarray(2, 2 + count)], size: 2 + count }
}

/** The method of our choice, or that none will do. */
export function methodReply(method: number | undefined): Buffer {
  return Buffer.from([VERSION, method ?? NO_METHOD])
}

export interface Credentials {
  readonly user: string
  readonly password: string
}

export function readCredentials(bytes: Buffer): Read<Credentials> | undefined {
  const [version, userLength] = bytes
  if (version === undefined) return undefined
  if (version !== AUTH_VERSION) throw broken(`version ${version} of the user and password message`)
  if (userLength === undefined) return undefined
  const passwordAt = 3 + userLength
  const passwordLength = bytes[passwordAt - 1]
  if (passwordLength === undefined || bytes.length < passwordAt + passwordLength) return undefined
  const user = bytes.toString("utf8", 2, 2 + userLength)
  const password = bytes.toString("utf8", passwordAt, passwordAt + passwordLength)
  return { value: { user, password }, size: passwordAt + passwordLength }
}

export function credentialsReply(accepted: boolean): Buffer {
  return Buffer.from([AUTH_VERSION, accepted ? 0 : 1])
}

export interface SocksAddress {
  readonly host: string
  readonly port: number
}

/** A request that cannot be met, with the reply that says so. */
export class SocksRefusal extends FlowError {
  readonly reply: number

  constructor(reply: number, code: string, message: string) {
    super("client", code, message)
    this.reply = reply
  }
}

/** Where CONNECT leads. Throws a SocksRefusal as soon as the request cannot be met. */
export function readRequest(bytes: Buffer): Read<SocksAddress> | undefined {
  const [version, command, , type] = bytes
  if (version === undefined) return undefined
  if (version !== VERSION) throw broken(`version ${version} of the request`)
  // The whole head first: a reply to half a request would look like an answer to something else.
  if (command === undefined || type === undefined) return undefined
  const length = addressLength(type, bytes)
  if (length === undefined || (length >= 0 && bytes.length < 6 + length)) return undefined
  if (command !== CONNECT) {
    const name = { 2: "BIND", 3: "UDP ASSOCIATE" }[command] ?? `command ${command}`
    throw new SocksRefusal(COMMAND_NOT_SUPPORTED, "bad-command", `SOCKS ${name} is not supported, only CONNECT is`)
  }
  if (length < 0)
    throw new SocksRefusal(ADDRESS_NOT_SUPPORTED, "bad-address-type", `SOCKS address type ${type} is not supported`)
  const port = bytes.readUInt16BE(4 + length)
  const host = readHost(type, bytes.subarray(4, 4 + length))
  if (host === undefined || port === 0)
    throw new SocksRefusal(GENERAL_FAILURE, "bad-host", "the host or the port that SOCKS asks for is none")
  return { value: { host, port }, size: 6 + length }
}

export const IPV4 = 1
export const DOMAIN = 3
export const IPV6 = 4

/** Bytes of the address, a name's length byte included; undefined: not known yet; negative: no such type. */
function addressLength(type: number, bytes: Buffer): number | undefined {
  if (type === IPV4) return 4
  if (type === IPV6) return 16
  if (type !== DOMAIN) return -1
  const length = bytes[4]
  return length === undefined ? undefined : 1 + length
}

function readHost(type: number, address: Buffer): string | undefined {
  if (type === IPV4) return address.join(".")
  if (type === DOMAIN) return normalHost(address.toString("utf8", 1).replace(/^\[|\]$/g, ""))
  const groups = Array.from({ length: 8 }, (_, index) => address.readUInt16BE(index * 2).toString(16))
  return canonicalAddress(groups.join(":"))
}

/** Nobody needs to know the address that the upstream sees: it is left empty, as RFC 1928's peers do. */
export function requestReply(code: number): Buffer {
  return Buffer.from([VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0])
}

/** The reply that says what went wrong. */
export function replyFor(error: FlowError): number {
  if (error instanceof SocksRefusal) return error.reply
  return REPLIES[error.code] ?? GENERAL_FAILURE
}

const REPLIES: Readonly<Record<string, number>> = {
  loop: NOT_ALLOWED,
  refused: NOT_ALLOWED,
  "connection-refused": REFUSED,
  "connection-reset": REFUSED,
  "name-not-found": HOST_UNREACHABLE,
  unreachable: NETWORK_UNREACHABLE,
  "connect-timeout": HOST_UNREACHABLE,
}

function broken(what: string): FlowError {
  return new FlowError("client", "bad-socks", `SOCKS handshake not understood: ${what}`)
}

function notSocks(first: number): FlowError {
  const what =
    first === 4
      ? "it speaks SOCKS4; set the client to SOCKS5"
      : first === 0x16
        ? "it begins TLS; TLS goes inside of SOCKS5, not around it"
        : /[A-Z]/.test(String.fromCharCode(first))
          ? "it speaks HTTP; give it a listener of --mode regular"
          : `it begins with byte ${first}`
  return new FlowError("client", "not-socks", `the client does not speak SOCKS5: ${what}`)
}
