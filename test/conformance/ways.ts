/**
 * The ways of the conformance table: a proxy in one of its modes before an origin, and how a client comes to it.
 */
import { connect, type Socket } from "node:net"
import type { Test } from "tap"
import type { ProxySettings } from "../../lib/proxy/settings.ts"
import { startProxy } from "../helpers/test-proxy.ts"
import type { Way } from "./client.ts"
import type { Origin } from "./origin.ts"

/** The name that the client asks for; the proxy's resolver is told where it is. */
export const NAME = "localhost"

/** Heads of the table are larger than the usual limits. */
export const SETTINGS: Partial<ProxySettings> = { head: { headBytes: 131_072, headFields: 300 } }

export async function openTcp(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true })
  socket.on("error", () => {}) // What a break means is told by the calls.
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve)
    socket.once("error", reject)
  })
  return socket
}

/** CONNECT to `authority` at the proxy on `port`. */
export async function openTunnel(port: number, authority: string): Promise<Socket> {
  const socket = await openTcp(port)
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`)
  let text = ""
  for (;;) {
    await new Promise((resolve) => socket.once("readable", resolve))
    const piece: unknown = socket.read()
    if (!Buffer.isBuffer(piece)) throw new Error("the proxy closed the connection")
    text += piece.toString("latin1")
    if (text.endsWith("\r\n\r\n")) break
  }
  if (!text.startsWith("HTTP/1.1 200 ")) throw new Error(`CONNECT: ${text}`)
  return socket
}

/** `regular`: a tunnel by CONNECT, with TLS inside or without. */
export async function byConnect(t: Test, origin: Origin, tls: boolean): Promise<Way> {
  const { port, certificates } = await startProxy(t, { settings: SETTINGS })
  const authority = `${NAME}:${origin.port}`
  return {
    authority,
    tls: tls ? { ca: certificates.ca, name: NAME } : undefined,
    target: (path) => path,
    open: () => openTunnel(port, authority),
  }
}

/** `regular`: absolute-form, as clients send it for http:// URLs. */
export async function byAbsoluteForm(t: Test, origin: Origin): Promise<Way> {
  const { port } = await startProxy(t, { settings: SETTINGS })
  const authority = `${NAME}:${origin.port}`
  return { authority, tls: undefined, target: (path) => `http://${authority}${path}`, open: () => openTcp(port) }
}

/** The base-URL door. */
export async function byBaseUrl(t: Test, origin: Origin, upstreamTls: boolean): Promise<Way> {
  const baseUpstream = new URL(`${upstreamTls ? "https" : "http"}://${NAME}:${origin.port}`)
  const { port } = await startProxy(t, { settings: { ...SETTINGS, baseUpstream } })
  return { authority: `${NAME}:${port}`, tls: undefined, target: (path) => path, open: () => openTcp(port) }
}
