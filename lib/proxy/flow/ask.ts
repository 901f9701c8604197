/**
 * The way to the upstream: where the request goes, on which connection, and when it may be sent a second time.
 */
import { FlowError, flowErrorOf } from "../../base/errors.ts"
import { isSecretName } from "../../base/secrets/names.ts"
import type { Incoming } from "../body/incoming.ts"
import { Http2UpstreamStream } from "../http2/upstream-stream.ts"
import { isWebSocket } from "../http2/websocket.ts"
import { formatAuthority, normalHost } from "../io/authority.ts"
import { wayOut } from "../io/bypass.ts"
import { isForwarded } from "../io/via-address.ts"
import type { StreamResponseHead, UpstreamStream } from "../streams.ts"
import {
  authenticatesConnection,
  BoundUpstream,
  BoundUpstreams,
  offersConnectionScheme,
} from "../upstream/bound-upstream.ts"
import { mayNameOuterOnly } from "../upstream/inner-addresses.ts"
import { isLoopbackHost } from "../upstream/self.ts"
import { connectToRule, type Protocol, type Target } from "../upstream/target.ts"
import { RequestSender } from "./request-sender.ts"
import type { FlowState } from "./state.ts"

/** A key that a browser hides in a list, where it can set no other field: OpenAI's realtime API. */
const KEY_PROTOCOL = /^openai-insecure-api-key\./
const PROTOCOLS = "sec-websocket-protocol"

const UNUSED = new FlowError("llmproxy", "unused", "the connection was not used")

/** Sends the request and waits for the response's head. Rejects with a FlowError. */
export async function ask(flow: FlowState): Promise<Incoming> {
  flow.exchange.route?.direct(flow.request)
  dropForeignCredentials(flow)
  flow.exchange.route?.setFields(flow.request)
  checkKeys(flow)
  const target = targetOf(flow)
  flow.locality.check(target)
  const sender = new RequestSender(flow, target)
  let bound = bindTo(flow, target)
  let alone = bound && (await openAlone(flow, target, bound))
  while (bound !== undefined && alone === undefined) {
    bound = bindTo(flow, target) // That connection has ended while the request waited for it, and is no more.
    alone = bound && (await openAlone(flow, target, bound))
  }
  let stream = alone ?? reuse(flow, target) ?? (await open(flow, target, undefined))
  let head: StreamResponseHead
  try {
    sender.start(stream)
    head = await stream.head()
  } catch (thrown) {
    // On another connection the client would be somebody else.
    if (flow.error !== undefined || bound !== undefined || !maySendAgain(stream, sender, thrown)) throw thrown
    sender.detach()
    stream = await open(flow, target, stream)
    sender.start(stream)
    head = await stream.head()
  }
  sender.settle()
  if (sender.informed !== undefined) await sender.informed
  flow.check()
  if (head.status === 101) bound?.gaveAway()
  if (head.status === 401) tellOfSessions(flow, head)
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
 * Everything that was sent is still here, and either the upstream says that it has not looked at it (HTTP/2), or it is
 * what a connection that had been idle explains: it was reused, and ended before a byte of the answer. A timeout is no
 * such thing: the upstream may be at work.
 */
function maySendAgain(stream: UpstreamStream, sender: RequestSender, thrown: unknown): boolean {
  if (!(thrown instanceof FlowError) || !sender.replayable) return false
  if (thrown.code === "refused") return stream.processed === "no"
  if (stream instanceof Http2UpstreamStream) return false // It would have said so (RFC 9113 section 8.7).
  return thrown.code === "cut" && stream.reused && stream.processed !== "yes"
}

/** A stream on a connection that waits for one, if there is any: then there is nothing to wait for. */
function reuse(flow: FlowState, target: Target): UpstreamStream | undefined {
  const stream = flow.core.upstream.reuse(target)
  return stream && take(flow, target, stream)
}

/** `failed`: the stream on whose connection it is not to be. */
async function open(flow: FlowState, target: Target, failed: UpstreamStream | undefined): Promise<UpstreamStream> {
  // A signal is made only where somebody may have to wait: reading `flow.signal` creates it.
  const signal = () => flow.signal
  const again = failed === undefined ? {} : { fresh: true, avoid: failed.info.id }
  return take(flow, target, await claim(flow, flow.core.upstream.open(target, { ...again, signal })))
}

/** What `opening` gives, for a flow that lives: one that fails does not wait for the dial, nor uses what comes of it. */
function claim<S extends UpstreamStream | undefined>(flow: FlowState, opening: Promise<S>): Promise<S> {
  return flow.orFail(opening).catch((thrown: unknown) => {
    opening.then(
      (late) => late?.abort(flow.error ?? UNUSED),
      () => {},
    )
    throw thrown
  })
}

/** The connection that the client has authenticated, or is about to: its own from now on. Undefined: it does not matter which. */
function bindTo(flow: FlowState, target: Target): BoundUpstream | undefined {
  const { core, isSent, request, connection } = flow
  const known = !isSent ? BoundUpstreams.of(connection)?.get(target) : undefined
  if (known !== undefined || !authenticatesConnection(request.headers, target)) return known
  if (!isSent) {
    const bound = BoundUpstreams.of(connection) ?? new BoundUpstreams(core.upstream, () => connection.onBoundLost())
    connection.bound = bound
    return bound.add(target)
  }
  // An addon's own request may be answered while its parent's is under way: it has a connection to itself.
  const own = new BoundUpstream(core.upstream, target, () => {})
  flow.onFail(() => own.close())
  return own
}

/** Undefined: it has ended. */
async function openAlone(flow: FlowState, target: Target, bound: BoundUpstream): Promise<UpstreamStream | undefined> {
  const stream = await claim(
    flow,
    bound.open(() => flow.signal),
  )
  return stream && take(flow, target, stream)
}

/** To a client that knows of this proxy: here a connection's authentication stays the client's (RFC 4559 section 6). */
function tellOfSessions({ parent, connection, baseUrl }: FlowState, { headers }: StreamResponseHead): void {
  if (parent !== undefined || baseUrl || !connection.proxied || !offersConnectionScheme(headers)) return
  headers.append("Proxy-Support", "Session-Based-Authentication")
}

/** The stream is the flow's from here on. Throws a FlowError where its connection leads elsewhere than it may. */
function take(flow: FlowState, target: Target, stream: UpstreamStream): UpstreamStream {
  try {
    flow.locality.arrive(target, stream.info)
  } catch (thrown) {
    stream.abort(flowErrorOf(thrown))
    throw thrown
  }
  const { host, port, address, tls } = stream.info
  flow.server = { host, port, address, tls, reused: stream.reused }
  flow.onFail((reason) => stream.abort(reason))
  return stream
}

/**
 * After a change of origin, credentials stay behind: fields unless an addon has set them itself, be it to the client's
 * own value; parameters unless they differ from the client's, because whoever copies a URL copies them unseen.
 */
function dropForeignCredentials(flow: FlowState): void {
  const { request, original } = flow
  if (request.host === original.host && request.port === original.port && request.scheme === original.scheme) return
  const { headers } = request
  const own = [...headers].filter(([name, value]) => isCredential(name.toLowerCase()) && isAddons(flow, name, value))
  for (const name of new Set(headers.lowerNames())) if (isCredential(name)) headers.delete(name)
  for (const [name, value] of own) headers.append(name, value)
  dropKeyProtocol(flow)
  request.path = withoutCredentials(request.path, original.path)
  if (headers.has("host")) headers.set("Host", formatAuthority(request.host, request.port, request.scheme))
}

/** A key that the client has not brought is given to nobody who may not use it; see ClientInfo.mayUseKeys. */
function checkKeys({ baseUrl, connection, request, original, client, parent }: FlowState): void {
  if (parent !== undefined || !(baseUrl || connection.reverse) || client.mayUseKeys) return
  const key = [...request.headers].find(
    ([name, value]) => isSecretName(name.toLowerCase(), "field") && !original.headers.getAll(name).includes(value),
  )
  if (key === undefined) return
  const message =
    `${key[0]}: a key of this proxy's own is not given to clients of other machines that have not authenticated ` +
    "(--proxy-auth), nor to pages of other sites"
  throw new FlowError("client", "key-withheld", message, { status: 403 })
}

function isCredential(lowerName: string): boolean {
  return isSecretName(lowerName, "field") || lowerName.startsWith("openai-")
}

function isAddons({ request, original }: FlowState, name: string, value: string): boolean {
  return request.headers.written(name).includes(value) || !original.headers.getAll(name).includes(value)
}

function dropKeyProtocol(flow: FlowState): void {
  const { headers } = flow.request
  const listed = headers.get(PROTOCOLS)
  if (listed === undefined || isAddons(flow, PROTOCOLS, listed)) return
  const all = listed.split(",").map((protocol) => protocol.trim())
  const kept = all.filter((protocol) => !KEY_PROTOCOL.test(protocol))
  if (kept.length === 0) headers.delete(PROTOCOLS)
  else if (kept.length < all.length) headers.set(PROTOCOLS, kept.join(", "))
}

/** The path without the parameters that hold the client's own credentials. */
function withoutCredentials(path: string, original: string): string {
  const mark = path.indexOf("?")
  if (mark < 0) return path
  const theirs = new Set(parametersOf(original))
  const all = parametersOf(path)
  const kept = all.filter((parameter) => !theirs.has(parameter) || !isCredentialParameter(parameter))
  if (kept.length === all.length) return path
  return path.slice(0, mark) + (kept.length === 0 ? "" : `?${kept.join("&")}`)
}

function parametersOf(path: string): string[] {
  const mark = path.indexOf("?")
  return mark < 0 ? [] : path.slice(mark + 1).split("&")
}

function isCredentialParameter(parameter: string): boolean {
  const [name = ""] = parameter.split("=", 1)
  return isSecretName(decoded(name), "field")
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name // a lone %
  }
}

function targetOf(flow: FlowState): Target {
  const { request, core, original } = flow
  const { route } = flow.exchange
  const host = normalHost(request.host)
  if (host === undefined) throw new FlowError("client", "bad-host", `${request.host} is no host name`)
  // The name that the client's own handshake asked for, while the request still goes where its tunnel leads.
  const { connection, head } = flow.exchange.delivery.client
  const sameHost = flow.parent === undefined && original.host === request.host
  const connectTo =
    route?.connectTo ??
    connectToRule(core.settings, host, request.port) ??
    (sameHost && original.port === request.port ? connection.connectTo : undefined)
  // To the upstream's proxy "localhost" would be itself: a model that an addon asks on this machine is asked directly.
  const isOurs = (flow.isSent || route?.url !== undefined) && isLoopbackHost(host)
  const isDirectly = isOurs || (connection.via !== undefined && flow.locality.names(request))
  const via =
    route?.via ?? (isDirectly ? undefined : wayOut(core.settings, connection.via, { host, port: request.port }))
  const isDirect = connectTo === undefined && head.upgrade === undefined
  const protocol = protocolOf(flow)
  const target: Target = {
    scheme: request.scheme,
    protocol,
    host,
    port: request.port,
    sni: sameHost ? connection.tunnelSni : undefined,
    connectTo,
    via,
    // What comes over HTTP/2 in clear may be for a server that speaks nothing else: a tunnel asks it.
    forward: isDirect && protocol !== "h2c" && isForwarded(via, request.scheme),
    ca: route?.ca,
    verify: core.settings.verify,
    outerOnly:
      isNamedByClient(flow) && mayNameOuterOnly(core.settings, connection) && connectTo === connection.connectTo,
  }
  return withFitProtocol(flow, target)
}

/** Whether the client has said where it goes, and not an option or an addon. */
function isNamedByClient({ isSent, baseUrl, connection, exchange }: FlowState): boolean {
  return !isSent && !baseUrl && connection.reverse !== true && exchange.route?.url === undefined
}

/**
 * A client that knows that its server speaks HTTP/2 without TLS says so by its own first bytes; at the base-URL door
 * it only knows of us.
 */
function protocolOf({ exchange, request, parent }: FlowState): Protocol {
  const { connection, head, baseUrl } = exchange.delivery.client
  const knows = head.version === "HTTP/2.0" && connection.tls === undefined && head.scheme === "http" && !baseUrl
  return knows && request.scheme === "http" && parent === undefined && exchange.route?.url === undefined
    ? "h2c"
    : "auto"
}

/** Upgrades are HTTP/1.1's, but for WebSocket where a session takes it (RFC 8441). */
function withFitProtocol({ exchange, core }: FlowState, target: Target): Target {
  const { upgrade } = exchange.delivery.client.head
  if (upgrade === undefined || (isWebSocket(upgrade) && core.upstream.takesWebSockets(target))) return target
  return { ...target, protocol: target.scheme === "https" ? "http/1.1" : "auto" }
}
