/**
 * WebSocket over HTTP/2 (RFC 8441) put in the terms of HTTP/1.1 (RFC 6455), and back: exchange() knows upgrades only.
 * A client's extended CONNECT becomes a GET with Upgrade and a key made here; an upstream's 200 becomes a 101.
 */
import { createHash, randomBytes } from "node:crypto"
import type { Headers } from "../../base/headers.ts"
import type { StreamResponseHead } from "../streams.ts"

/** RFC 6455 section 1.3. */
const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/** What belongs to HTTP/1.1's handshake alone (RFC 8441 section 5.1). */
const HTTP1_FIELDS: readonly string[] = ["connection", "upgrade", "sec-websocket-key", "sec-websocket-accept"]

/** Whether an Upgrade asks for WebSocket, the one protocol that can be had over HTTP/2. */
export function isWebSocket(upgrade: string | undefined): boolean {
  return upgrade !== undefined && upgrade.trim().toLowerCase() === "websocket"
}

/** The value of Sec-WebSocket-Accept that answers `key`. */
export function acceptFor(key: string): string {
  return createHash("sha1").update(`${key}${ACCEPT_GUID}`).digest("base64")
}

/** The fields of an extended CONNECT as those of an upgrade: Upgrade and a fresh key are added; Connection is the codec's. */
export function webSocketUpgradeFields(headers: Headers): Headers {
  const fields = without(headers)
  fields.append("Upgrade", "websocket")
  fields.append("Sec-WebSocket-Key", randomBytes(16).toString("base64"))
  return fields
}

/** The fields of an upgrade as those of an extended CONNECT. */
export function webSocketRequestFields(headers: Headers): Headers {
  return without(headers)
}

/** What a client that sent an extended CONNECT gets in place of a 101. */
export function webSocketAnswerToH2(head: StreamResponseHead): StreamResponseHead {
  return { status: 200, reason: "", headers: without(head.headers) }
}

/** What an upstream's 2xx to an extended CONNECT is over HTTP/1.1. `key`: the request's Sec-WebSocket-Key. */
export function webSocketAnswerFromH2(head: StreamResponseHead, key: string | undefined): StreamResponseHead {
  const headers = without(head.headers)
  headers.append("Upgrade", "websocket")
  if (key !== undefined) headers.append("Sec-WebSocket-Accept", acceptFor(key))
  return { status: 101, reason: "Switching Protocols", headers }
}

function without(headers: Headers): Headers {
  const copy = headers.clone()
  for (const name of HTTP1_FIELDS) copy.delete(name)
  return copy
}
