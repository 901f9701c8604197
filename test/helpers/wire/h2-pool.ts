/** A pool of upstream connections for tests of HTTP/2, its clock, and what it tells of connections. */
import type { Test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { Headers } from "../../../lib/base/headers.ts"
import { DEFAULT_SETTINGS, type ProxySettings } from "../../../lib/proxy/settings.ts"
import type { ServerInfo, ServerRequestHead, UpstreamStream } from "../../../lib/proxy/streams.ts"
import { Upstream } from "../../../lib/proxy/upstream/pool.ts"
import type { Target } from "../../../lib/proxy/upstream/target.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { sharedCertificates } from "../test-proxy.ts"

export interface Http2Pool {
  readonly clock: ManualClock
  readonly upstream: Upstream
  readonly connected: ServerInfo[]
  readonly disconnected: ServerInfo[]
}

/** Trusts the certificates that tests make. `connected`: what the hook of that name does. */
export async function startPool(
  t: Test,
  settings: Partial<ProxySettings> = {},
  connected?: () => Promise<void>,
): Promise<Http2Pool> {
  const { ca } = await sharedCertificates()
  const pool = { clock: new ManualClock(), connected: [] as ServerInfo[], disconnected: [] as ServerInfo[] }
  const upstream = new Upstream({ ...DEFAULT_SETTINGS, upstreamCa: [ca], ...settings }, pool.clock, {
    connecting: (target) => target,
    connected: (info) => {
      pool.connected.push(info)
      return connected?.()
    },
    disconnected: (info) => pool.disconnected.push(info),
  })
  t.teardown(() => upstream.close())
  return { ...pool, upstream }
}

/** HTTP/2 without TLS on that port, by prior knowledge, unless `changes` says otherwise. */
export function plainTarget(port: number, changes: Partial<Target> = {}): Target {
  return {
    scheme: "http",
    protocol: "h2c",
    host: "127.0.0.1",
    port,
    sni: undefined,
    connectTo: undefined,
    via: undefined,
    ca: undefined,
    verify: true,
    ...changes,
  }
}

/** A target that speaks TLS and says in the handshake whether it takes HTTP/2. */
export function secureTarget(port: number, changes: Partial<Target> = {}): Target {
  return plainTarget(port, { scheme: "https", protocol: "auto", ...changes })
}

/** Sends a head; a GET without a body unless told otherwise. */
export function sendHead(
  stream: UpstreamStream,
  changes: Partial<ServerRequestHead> = {},
  body: { length: number | undefined; hasBody: boolean } = { length: 0, hasBody: false },
): void {
  const head = { method: "GET", path: "/", authority: "a.test", headers: new Headers(), upgrade: undefined }
  stream.send({ ...head, ...changes }, body)
}

/** The rest of the body, latin1. */
export async function bodyOf({ body }: UpstreamStream): Promise<string> {
  let text = ""
  for (let piece = await body.read(); piece !== undefined; piece = await body.read()) text += piece.toString("latin1")
  return text
}

/** Sends a GET and reads its answer whole. */
export async function get(stream: UpstreamStream, path = "/"): Promise<string> {
  sendHead(stream, { path })
  await stream.head()
  return bodyOf(stream)
}

/** The FlowError with which `promise` rejects; throws when there is none. */
export async function failureOf(promise: Promise<unknown>): Promise<FlowError> {
  const thrown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (thrown instanceof FlowError) return thrown
  throw new Error(`no FlowError: ${thrown}`)
}
