/**
 * Knows our own addresses, however they are spelt. A request that would reach the proxy itself is refused (508): it
 * would go round until something breaks, and a page behind the proxy must not be reached through it.
 */
import { isIP, type Socket } from "node:net"
import { networkInterfaces } from "node:os"
import { FlowError } from "../../base/errors.ts"
import { canonicalAddress, hostAndPort } from "../io/authority.ts"

export interface ListeningAddress {
  readonly address: string
  readonly port: number
}

export class SelfGuard {
  #listening: ListeningAddress[] = []
  /** Near ends of connections that we have made: `address|port`. */
  #dialled = new Set<string>()

  listen(address: ListeningAddress): void {
    this.#listening.push(address)
  }

  clear(): void {
    this.#listening = []
  }

  /** Remembers a connection that we have made, until it has closed. */
  dialled(socket: Socket): void {
    const key = endKey(socket.localAddress ?? "", socket.localPort ?? 0)
    this.#dialled.add(key)
    socket.once("close", () => this.#dialled.delete(key))
  }

  /** Whether a client is the near end of a connection of our own, which something has led back to us. */
  isOwnDial(address: string, port: number): boolean {
    return this.#dialled.has(endKey(address, port))
  }

  /** Whether a connection to this address (an IP literal) and port would arrive at one of our listeners. */
  isSelf(address: string, port: number): boolean {
    return this.#listening.some(
      (own) => own.port === port && reaches(canonicalAddress(address), canonicalAddress(own.address)),
    )
  }

  /** Throws where `host` is an address of ours, or a name that always means this machine. */
  check(host: string, port: number): void {
    const address = isLoopbackName(host) ? "127.0.0.1" : host
    if (isIP(address) !== 0 && this.isSelf(address, port)) throw loopError(host, port)
  }
}

function endKey(address: string, port: number): string {
  return `${canonicalAddress(address)}|${port}`
}

export function loopError(host: string, port: number): FlowError {
  const message = `${hostAndPort(host, port)} is the proxy itself; to use it as a base URL, send the request to it directly`
  return new FlowError("client", "loop", message, { status: 508 })
}

/** Whether a connection to `address` arrives at a socket that listens on `own`. */
function reaches(address: string, own: string): boolean {
  if (address === own) return true
  const anywhere = own === "0.0.0.0" || own === "::"
  // Connecting to the unspecified address means this machine, on every system that allows it.
  const unspecified = address === "0.0.0.0" || address === "::"
  if (isLoopback(own)) return isLoopback(address) || unspecified
  if (!anywhere) return false
  return unspecified || isLoopback(address) || isOwnAddress(address)
}

/** Whether a host, a name or an address without brackets, always means this machine. */
export function isLoopbackHost(host: string): boolean {
  return isLoopbackName(host) || (isIP(host) !== 0 && isLoopback(canonicalAddress(host)))
}

function isLoopbackName(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost")
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1"
}

/** Whether an address is one of this machine's. */
export function isOwnAddress(address: string): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some((entry) => entry.address === address))
}
