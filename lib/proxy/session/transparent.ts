/**
 * Where a redirected connection was going before the packet filter sent it here: Linux keeps it with the connection
 * (SO_ORIGINAL_DST of netfilter, IP6T_SO_ORIGINAL_DST for IPv6). Node has no getsockopt, so that the optional package
 * koffi calls libc's. Where it cannot be had, session.ts goes by the name that the client says.
 */
import type { Socket } from "node:net"
import { isIP } from "node:net"
import { messageOf } from "../../base/errors.ts"
import { type Authority, canonicalAddress } from "../io/authority.ts"

/** Where the client wanted to go; undefined where the kernel knows of no redirection. */
export type OriginalDestination = (socket: Socket) => Authority | undefined

export type Transparent =
  | { readonly kind: "kernel"; readonly destinationOf: OriginalDestination }
  /** Only names are known, and why. */
  | { readonly kind: "names"; readonly why: string }

/** Protocol levels (IPPROTO_IP, IPPROTO_IPV6) and the option's number, which is the same in both. */
const LEVEL_IPV4 = 0
const LEVEL_IPV6 = 41
const ORIGINAL_DST = 80
/** Bytes of sockaddr_in and sockaddr_in6. */
const SOCKADDR_IN = 16
const SOCKADDR_IN6 = 28

/** getsockopt(fd, level, option, value, length): 0, or -1. */
type GetSockOpt = (fd: number, level: number, option: number, value: Buffer, length: Uint32Array) => unknown

/** Loads what asks the kernel. Never rejects. */
export async function loadTransparent(
  platform: string = process.platform,
  load: () => Promise<GetSockOpt> = loadGetSockOpt,
): Promise<Transparent> {
  if (platform !== "linux") return { kind: "names", why: `${platform} does not tell where a connection was going` }
  try {
    const getSockOpt = await load()
    return { kind: "kernel", destinationOf: (socket) => originalDestination(socket, getSockOpt) }
  } catch (thrown) {
    const [line = ""] = messageOf(thrown).split("\n")
    return { kind: "names", why: `the optional package koffi cannot be loaded (${line})` }
  }
}

async function loadGetSockOpt(): Promise<GetSockOpt> {
  const { default: koffi } = await import("koffi")
  const call = koffi.load(null).func("int getsockopt(int, int, int, void *, void *)")
  return (fd, level, option, value, length): unknown => call(fd, level, option, value, length)
}

function originalDestination(socket: Socket, getSockOpt: GetSockOpt): Authority | undefined {
  const fd = descriptorOf(socket)
  if (fd === undefined) return undefined
  // A socket of "::" serves IPv4 as well, whose addresses are kept as IPv4's.
  const isIpv6 = isIP(canonicalAddress(socket.localAddress ?? "")) === 6
  const bytes = Buffer.alloc(isIpv6 ? SOCKADDR_IN6 : SOCKADDR_IN)
  const status = getSockOpt(fd, isIpv6 ? LEVEL_IPV6 : LEVEL_IPV4, ORIGINAL_DST, bytes, Uint32Array.of(bytes.length))
  return status === 0 ? readSockAddr(bytes) : undefined
}

/** The descriptor under an accepted socket. Node does not promise it: where it is gone, nothing is known. */
function descriptorOf(socket: Socket): number | undefined {
  const handle: unknown = "_handle" in socket ? socket._handle : undefined
  if (typeof handle !== "object" || handle === null || !("fd" in handle)) return undefined
  const { fd } = handle
  return typeof fd === "number" && fd >= 0 ? fd : undefined
}

/** A sockaddr_in or sockaddr_in6: port and address in network order behind two bytes of the family. */
function readSockAddr(bytes: Buffer): Authority | undefined {
  const port = bytes.readUInt16BE(2)
  if (port === 0) return undefined
  if (bytes.length === SOCKADDR_IN) return { host: bytes.subarray(4, 8).join("."), port }
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(8 + index * 2).toString(16))
  return { host: canonicalAddress(groups.join(":")), port }
}
