/**
 * The way to the upstream: where the request goes, on which connection, and when it may be sent a second time.
 */
import { FlowError } from "../errors.ts"
import { formatAuthority, normalHost, parseAuthority } from "./authority.ts"
import type { FlowState } from "./flow-state.ts"
import type { Incoming } from "./incoming.ts"
import { RequestSender } from "./request-sender.ts"
import type { ServerStream, StreamResponseHead } from "./streams.ts"
import { connectToRule, type Target } from "./target.ts"

/** Fields that are good for one origin only. */
const CREDENTIAL_FIELDS = ["authorization", "cookie", "api-key", "x-api-key", "x-goog-api-key", "proxy-authorization"]

const UNUSED = new FlowError("llmproxy", "unused", "the connection was not used")

/** Sends the request and waits for the response's head. Rejects with a FlowError. */
export async function ask(flow: FlowState): Promise<Incoming> {
  applyRoute(flow)
  dropForeignCredentials(flow)
  flow.routeFields?.applyTo(flow.request)
  flow.phase = "upstream"
  const target = targetOf(flow)
  const sender = new RequestSender(flow)
  let stream = await open(flow, target, false)
  let head: StreamResponseHead
  try {
    sender.start(stream)
    head = await stream.head()
  } catch (thrown) {
    if (flow.error !== undefined || !maySendAgain(stream, sender, thrown)) throw thrown
    stream = await open(flow, target, true)
    sender.start(stream)
    head = await stream.head()
  }
  await sender.informed
  flow.check()
  const answered = stream
  return {
    head,
    body: head.status === 101 ? { length: 0, read: () => Promise.resolve(undefined) } : answered.body,
    trailers: () => answered.trailers,
    abort: (reason) => answered.abort(reason),
    tunnel: head.status === 101 ? () => answered.tunnel() : undefined,
  }
}

/**
 * Only what a connection that had been idle can explain: it was reused, it ended before a byte of the answer, and
 * everything that was sent on it is still here. A timeout is no such thing: the upstream may be at work.
 */
function maySendAgain(stream: ServerStream, sender: RequestSender, thrown: unknown): boolean {
  const ended = thrown instanceof FlowError && thrown.code === "cut"
  return ended && stream.reused && stream.processed !== "yes" && sender.replayable
}

async function open(flow: FlowState, target: Target, fresh: boolean): Promise<ServerStream> {
  // A signal is made only where somebody may have to wait: reading `flow.signal` creates it.
  const opening = flow.core.upstream.open(target, { fresh, signal: () => flow.signal })
  const stream = await flow.orFail(opening).catch((thrown: unknown) => {
    // A flow that fails does not wait for the dial; what comes of it later is not used.
    opening.then(
      (late) => late.abort(flow.error ?? UNUSED),
      () => {},
    )
    throw thrown
  })
  const { host, port, address, tls } = stream.info
  flow.server = { host, port, address, tls, reused: stream.reused }
  flow.onFail((reason) => stream.abort(reason))
  return stream
}

/** Puts the route that addons chose into the request. */
function applyRoute(flow: FlowState): void {
  const url = flow.routeSpec?.url
  if (url === undefined) return
  const { path } = flow.request
  const wanted = new URL(url)
  flow.request.url = url
  if (wanted.pathname === "/" && wanted.search === "") flow.request.path = path
}

/** After a change of origin, credentials stay behind unless an addon has set them itself. */
function dropForeignCredentials(flow: FlowState): void {
  const { request, original } = flow
  if (request.host === original.host && request.port === original.port && request.scheme === original.scheme) return
  for (const name of CREDENTIAL_FIELDS)
    if (request.headers.get(name) === original.headers.get(name)) request.headers.delete(name)
  for (const name of new Set(request.headers.lowerNames())) if (name.startsWith("openai-")) request.headers.delete(name)
  if (request.headers.has("host"))
    request.headers.set("Host", formatAuthority(request.host, request.port, request.scheme))
}

function targetOf(flow: FlowState): Target {
  const { request, routeSpec, core, original } = flow
  const host = normalHost(request.host)
  if (host === undefined) throw new FlowError("client", "bad-host", `${request.host} is no host name`)
  const sni = flow.delivery.client.connection.tunnelSni
  const sameHost = sni !== undefined && original.host === request.host
  return {
    scheme: request.scheme,
    host,
    port: request.port,
    sni: sameHost ? sni : undefined,
    connectTo: connectToOf(routeSpec?.connectTo) ?? connectToRule(core.settings, host, request.port),
    via: routeSpec?.via,
    ca: routeSpec?.ca,
    verify: core.settings.verify,
  }
}

function connectToOf(text: string | undefined): Target["connectTo"] {
  if (text === undefined) return undefined
  const authority = parseAuthority(text, 0)
  if (authority === undefined) throw new FlowError("addon", "bad-connect-to", `connectTo ${text}: write host:port`)
  return authority
}
