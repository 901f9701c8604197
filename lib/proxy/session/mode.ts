/**
 * How clients reach the proxy, as `--mode` says it: mitmproxy's grammar, `mode[:data][@[host:]port]`. Several modes run
 * at once, each on an address of its own. What a mode then does is session.ts's affair.
 */
import { UsageError } from "../../base/errors.ts"
import { type Authority, defaultPort, hostAndPort, normalHost, parseAuthority } from "../io/authority.ts"
import { parseVia, VIA_FORMS, viaForPeople } from "../io/via-address.ts"

/** Where a reverse listener sends everything. */
export interface ReverseTarget {
  readonly scheme: "http" | "https"
  readonly host: string
  readonly port: number
  /** Path that goes before every request's path; "/" for none. */
  readonly base: string
}

export type Mode =
  | { readonly kind: "regular" | "socks5" | "transparent" }
  | { readonly kind: "reverse"; readonly to: ReverseTarget }
  /** `via`: the proxy's URL, credentials included. */
  | { readonly kind: "upstream"; readonly via: string }

export interface ModeSpec {
  readonly mode: Mode
  /** Undefined: where -p and --host say. */
  readonly host: string | undefined
  readonly port: number | undefined
  /** The mode and its data for people: without credentials. */
  readonly text: string
}

/** Where one mode listens. */
export interface ModeAddress {
  readonly mode: Mode
  readonly host: string
  readonly port: number
  readonly text: string
}

export const REGULAR: Mode = { kind: "regular" }

const NAMES = "regular, reverse:URL, upstream:URL, socks5 and transparent"
/** `[host:]port` at the end of a spec, where the host may be in brackets. */
const LISTEN = /^(?:(\[[0-9a-fA-F:.]*\]|[^:@/\s[\]]*):)?(\d+)$/
/** A proxy that is whole by itself: it ends in a port, or in the `/` behind its host. */
const WHOLE_PROXY = /^upstream:[a-z0-9]+:\/\/(?:.*@)?(?:\[[^\]]*\]|[^:@/]+)(?::\d+\/?|\/)$/i

/** Throws a UsageError that says what to write instead. */
export function parseMode(text: string): ModeSpec {
  const { body, listen } = splitListen(text)
  const colon = body.indexOf(":")
  const kind = colon < 0 ? body : body.slice(0, colon)
  const data = colon < 0 ? "" : body.slice(colon + 1)
  const address = listen === undefined ? { host: undefined, port: undefined } : listenAddress(listen, kind)
  const mode = modeOf(kind, data)
  const name = mode.kind === "upstream" ? `upstream:${schemeOf(data)}://${viaForPeople(mode.via)}` : body
  return { mode, ...address, text: name }
}

/**
 * `upstream:http://user:password@host:port` has an `@` of its own. What follows the last one is where to listen if it
 * is a port alone, or if what stands before it is whole without it; a password of digits alone wants a `/` at the end.
 */
function splitListen(text: string): { body: string; listen: string | undefined } {
  const at = text.lastIndexOf("@")
  if (at < 0) return { body: text, listen: undefined }
  const [body, tail] = [text.slice(0, at), text.slice(at + 1)]
  if (!/^upstream:/i.test(text)) return { body, listen: tail }
  const match = LISTEN.exec(tail)
  if (match === null) return { body: text, listen: undefined }
  return match[1] === undefined || WHOLE_PROXY.test(body) ? { body, listen: tail } : { body: text, listen: undefined }
}

function listenAddress(text: string, kind: string): Pick<ModeSpec, "host" | "port"> {
  const match = LISTEN.exec(text)
  const port = Number(match?.[2])
  // Nothing of the spec but its name is repeated: a password may be what could not be read.
  const spec = `--mode ${/^[a-z0-9]+$/.test(kind) ? kind : "..."}`
  if (match === null || port > 65_535)
    throw new UsageError(`${spec}: behind the last @ stands where to listen: write @PORT or @HOST:PORT, as in @8081`)
  if (match[1] === undefined) return { host: undefined, port }
  const host = parseAuthority(`${match[1]}:1`, 0)?.host
  if (host === undefined)
    throw new UsageError(`${spec}: @${text}: ${match[1] || '""'} is no address to listen on; 0.0.0.0 means all of them`)
  return { host, port }
}

function modeOf(kind: string, data: string): Mode {
  if (kind === "reverse") return { kind, to: reverseTarget(data) }
  if (kind === "upstream") return { kind, via: upstreamProxy(data) }
  if (kind !== "regular" && kind !== "socks5" && kind !== "transparent")
    throw new UsageError(`--mode ${kind}: there is no such mode; there are ${NAMES}`)
  if (data !== "")
    throw new UsageError(`--mode ${kind}: nothing stands behind it but where to listen, as in ${kind}@8081`)
  return { kind }
}

function reverseTarget(text: string): ReverseTarget {
  if (text === "") throw new UsageError("--mode reverse: the upstream is missing, write reverse:https://HOST[:PORT]")
  if (!/^https?:\/\//i.test(text)) {
    if (/^[a-z0-9]+:\/\//i.test(text))
      throw new UsageError("--mode reverse: the upstream's scheme is http or https, as in reverse:https://HOST")
    const what = text.includes("@") ? "reverse:..." : `reverse:${text}`
    throw new UsageError(`--mode ${what}: the upstream needs a scheme, for example reverse:https://${hostOnly(text)}`)
  }
  const url = URL.canParse(text) ? new URL(text) : undefined
  const host = url === undefined ? undefined : normalHost(url.hostname.replace(/^\[|\]$/g, ""))
  if (url === undefined || host === undefined || url.port === "0")
    throw new UsageError("--mode reverse: this is no URL of a server, write reverse:https://HOST[:PORT][/BASE]")
  if (url.username !== "" || url.password !== "")
    throw new UsageError("--mode reverse: a URL here has no user and password; clients send their own Authorization")
  if (url.search !== "" || url.hash !== "")
    throw new UsageError(`--mode reverse:${url.origin}: write no ? and no # behind the base path`)
  const scheme = url.protocol === "http:" ? "http" : "https"
  return { scheme, host, port: Number(url.port || defaultPort(scheme)), base: url.pathname }
}

function hostOnly(text: string): string {
  return text.includes("@") ? "HOST" : text
}

function upstreamProxy(text: string): string {
  if (text === "") throw new UsageError("--mode upstream: the proxy is missing, write upstream:http://HOST:PORT")
  if (parseVia(text) !== undefined) return text
  const spec = text.includes("@") ? "--mode upstream:..." : `--mode upstream:${text}`
  throw new UsageError(`${spec}: this is no proxy, ${VIA_FORMS}`)
}

function schemeOf(url: string): string {
  return url.slice(0, url.indexOf(":")).toLowerCase()
}

/**
 * Where each mode listens: on the address that its spec names, else on the usual one. Without specs: regular, there.
 * Throws a UsageError where two would share an address.
 */
export function modeAddresses(specs: readonly ModeSpec[], usual: Authority): readonly ModeAddress[] {
  if (specs.length === 0) return [{ mode: REGULAR, text: "regular", ...usual }]
  const addresses = specs.map(({ mode, text, host = usual.host, port = usual.port }) => ({ mode, text, host, port }))
  for (const [index, one] of addresses.entries()) {
    const twin = addresses.slice(0, index).find((other) => clashes(one, other))
    if (twin === undefined) continue
    const both = `--mode ${twin.text} and --mode ${one.text} would both listen on ${hostAndPort(one.host, one.port)}`
    throw new UsageError(`${both}; give one of them a port of its own by adding @PORT, as in socks5@1080`)
  }
  return addresses
}

function clashes(one: Authority, other: Authority): boolean {
  if (one.port === 0 || one.port !== other.port) return false // 0: the system chooses a free one for each.
  return one.host === other.host || isAnywhere(one.host) || isAnywhere(other.host)
}

function isAnywhere(host: string): boolean {
  return host === "0.0.0.0" || host === "::"
}
