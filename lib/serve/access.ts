/**
 * Who runs the proxy: whoever has its admin token, or, where none is shown, a program of this machine that asks for itself.
 * Pure.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import type { ClientStream } from "../proxy/streams.ts"
import { isLoopbackHost } from "../proxy/upstream/self.ts"

/** By these a program of this machine says that it asks for somebody else. */
const FORWARDING = /^(?:forwarded|via|x-real-ip|x-forwarded-.*)$/

export function isAdmin({ head, connection }: Pick<ClientStream, "head" | "connection">, token: string): boolean {
  const credentials = head.headers.getAll("authorization")
  const shown = credentials.map((value) => /^bearer +(\S+)$/i.exec(value)?.[1]).filter((one) => one !== undefined)
  // Who shows a token is judged by it alone: a wrong one is a mistake that is worth knowing of.
  if (shown.length > 0) return credentials.length === 1 && isSame(shown[0] ?? "", token)
  return isLoopbackHost(connection.address) && !head.headers.lowerNames().some((name) => FORWARDING.test(name))
}

/** In a time that tells nothing of where they differ. */
function isSame(one: string, other: string): boolean {
  return timingSafeEqual(digest(one), digest(other))
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text, "latin1").digest()
}
