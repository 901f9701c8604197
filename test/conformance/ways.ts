/**
 * The ways of the conformance table: a proxy in one of its modes before an origin, and how a client comes to it.
 */
import { connect, type Socket } from "node:net"
import { SocksClient } from "socks"
import type { Test } from "tap"
import { type Mode, parseMode } from "../../lib/proxy/session/mode.ts"
import type { ProxySettings } from "../../lib/proxy/settings.ts"
import { startProxy } from "../helpers/test-proxy.ts"
import type { Way } from "./client.ts"
import type { Origin } from "./origin.ts"

/** The name that the client asks for; it means this machine everywhere. */
export const NAME = "localhost"

/** Heads of the table are larger than the usual limits. */
const SETTINGS: Partial<ProxySettings> = { head: { headBytes: 131_072, headFields: 300 } }

async function openTcp(port: number): Promise<Socket> {
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

/** `mode` as `--mode` has it. */
function modeOf(text: string): Mode {
  return parseMode(text).mode
}

function direct(authority: string, port: number, tls: Way["tls"]): Way {
  return { authority, tls, target: (path) => path, open: () => openTcp(port) }
}

/** `reverse`: the proxy looks like the origin. */
export async function byReverse(t: Test, origin: Origin, tls: boolean, upstreamTls: boolean): Promise<Way> {
  const mode = modeOf(`reverse:${upstreamTls ? "https" : "http"}://${NAME}:${origin.port}`)
  const { port, certificates } = await startProxy(t, { settings: SETTINGS, mode })
  return direct(`${NAME}:${port}`, port, tls ? { ca: certificates.ca, name: NAME } : undefined)
}

/** `socks5`: the name goes to the proxy. */
export async function bySocks(t: Test, origin: Origin, tls: boolean): Promise<Way> {
  const { port, certificates } = await startProxy(t, { settings: SETTINGS, mode: modeOf("socks5") })
  return {
    authority: `${NAME}:${origin.port}`,
    tls: tls ? { ca: certificates.ca, name: NAME } : undefined,
    target: (path) => path,
    open: () => openSocks(port, origin.port),
  }
}

async function openSocks(port: number, originPort: number): Promise<Socket> {
  const { socket } = await SocksClient.createConnection({
    proxy: { host: "127.0.0.1", port, type: 5 },
    command: "connect",
    destination: { host: NAME, port: originPort },
  })
  socket.on("error", () => {})
  socket.setNoDelay(true)
  return socket
}

/** `transparent`, where the system does not tell the destination: by the name that the client says. */
export async function byTransparent(t: Test, origin: Origin, tls: boolean): Promise<Way> {
  const settings = { ...SETTINGS, transparentPort: origin.port }
  const { port, certificates } = await startProxy(t, { settings, mode: modeOf("transparent") })
  return direct(`${NAME}:${origin.port}`, port, tls ? { ca: certificates.ca, name: NAME } : undefined)
}

/** `upstream`: a second proxy behind the first, which relays what it is sent unseen. `next`: its scheme. */
export async function byUpstream(t: Test, origin: Origin, tls: boolean, next: "http" | "socks5"): Promise<Way> {
  const ignoreHosts = [/./]
  const second = await startProxy(t, {
    settings: { ...SETTINGS, ignoreHosts },
    mode: modeOf(next === "http" ? "regular" : "socks5"),
  })
  const mode = modeOf(`upstream:${next}://127.0.0.1:${second.port}`)
  const { port, certificates } = await startProxy(t, { settings: SETTINGS, mode })
  const authority = `${NAME}:${origin.port}`
  return {
    authority,
    tls: tls ? { ca: certificates.ca, name: NAME } : undefined,
    target: (path) => path,
    open: () => openTunnel(port, authority),
  }
}
