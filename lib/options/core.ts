/**
 * The program's own options, in the same declaration as an addon's: flags, LLMPROXY_* variables, config file and help
 * follow from it. settingsFrom() turns their values into what the sockets need.
 */
import { readFileSync } from "node:fs"
import { messageOf, UsageError, whyUnread } from "../base/errors.ts"
import type { LogLevel } from "../base/log.ts"
import { addressRange, proxyUser, proxyUsers } from "../proxy/access/rules.ts"
import { hostAndPort, normalHost, parseAuthority } from "../proxy/io/authority.ts"
import { bypassRule } from "../proxy/io/bypass.ts"
import { type ConnectToRule, DEFAULT_SETTINGS as D, type ProxySettings, type ProxyUser } from "../proxy/settings.ts"
import { explainPem } from "../proxy/tls/pem.ts"
import { resolveOptions } from "./resolve.ts"
import type { OptionSources } from "./sources.ts"
import type { OptionSpecs, OptionValues } from "./spec.ts"
import { TLS_OPTIONS, tlsSettings } from "./tls.ts"

/** Milliseconds that one asynchronous hook may work before it counts as failed. */
const HOOK_BUDGET_MS = 5_000

export const CORE_OPTIONS = {
  port: { type: "integer", default: 8080, min: 0, max: 65_535, help: "Port to listen on; 0: a free one." },
  host: { type: "string", default: "127.0.0.1", help: "Address to listen on." },
  mode: {
    type: "list",
    default: [],
    help: "How clients reach the proxy, each with [@[HOST:]PORT]: regular, reverse:URL, upstream:URL, socks5, transparent.",
  },
  keepHostHeader: { type: "boolean", default: false, help: "At reverse listeners, leave Host as the client sent it." },
  transparentPort: {
    type: "integer",
    default: 0,
    min: 0,
    max: 65_535,
    help: "Where redirected clients go if the system does not tell; 0: 443 with TLS, else 80.",
  },
  baseUpstream: {
    type: "string",
    default: "https://api.openai.com",
    help: "Where requests addressed to the proxy itself (base-URL clients) go.",
  },
  baseHost: { type: "list", default: [], help: "Further names under which the proxy may be used as a base URL." },
  baseOrigin: { type: "list", default: [], help: "Origins of web pages that may use the proxy as a base URL." },
  connectTo: {
    type: "list",
    default: [],
    help: "HOST:PORT:ADDR:PORT: connect to ADDR:PORT instead of HOST:PORT, as curl's.",
  },
  upstreamBypass: {
    type: "list",
    default: [],
    help: "Hosts that the proxy of --mode upstream is not asked for, as NO_PROXY names them.",
  },
  upstreamCa: { type: "list", default: [], help: "PEM files with certificates to trust besides the system's." },
  insecure: { type: "boolean", default: false, help: "Do not verify upstream certificates." },
  upstreamHttp2: { type: "boolean", default: D.upstreamHttp2, help: "Offer HTTP/2 to upstreams that speak TLS." },
  ignoreHosts: { type: "list", default: [], help: "Regular expressions: host:port that matches is relayed unseen." },
  allowHosts: { type: "list", default: [], help: "Regular expressions: only host:port that matches is intercepted." },
  proxyAuth: {
    type: "string",
    default: "",
    secret: true,
    help: "USER:PASS that clients have to give; better set by LLMPROXY_PROXY_AUTH, where no process list shows it.",
  },
  proxyAuthFile: { type: "string", default: "", help: "File with user:hash lines, as `htpasswd -B` or argon2 make." },
  adminToken: {
    type: "string",
    default: "",
    secret: true,
    help: "Token for what only who runs the proxy may ask; by LLMPROXY_ADMIN_TOKEN. Default: one in the confdir, admin-token.",
  },
  allowClients: {
    type: "list",
    default: [],
    help: "Addresses and ranges (192.168.0.0/16) whose clients may connect, besides this machine's.",
  },
  allowPrivate: {
    type: "boolean",
    default: D.allowPrivate,
    help: "Clients of a --host that others reach may name this machine's own addresses, 127.0.0.1 or 169.254.169.254 say.",
  },
  trustedProxy: {
    type: "list",
    default: [],
    help: "Addresses and ranges of proxies before this one, whose X-Forwarded-For is believed.",
  },
  clientConnections: {
    type: "integer",
    default: D.clientConnections,
    min: 1,
    help: "Client connections at a time; further ones are closed.",
  },
  ...TLS_OPTIONS,
  flowDetail: {
    type: "integer",
    default: 1,
    min: 0,
    max: 4,
    help: "What is printed of a flow: 0 nothing, 1 a line, 2 excerpts, 3 messages as they come, 4 heads and bodies.",
  },
  bodyLimit: {
    type: "integer",
    default: D.bodyLimit,
    min: 0,
    help: "Bytes of one body that may be collected or held.",
  },
  memoryLimit: { type: "integer", default: D.memoryLimit, min: 0, help: "Bytes that all flows together may hold." },
  drainLimit: {
    type: "integer",
    default: D.drainLimit,
    min: 0,
    help: "Bytes of an answer that are read on when its client has left, where an addon wants to know what it cost.",
  },
  drainLimitMs: { type: "integer", default: D.drainLimitMs, min: 1, help: "For so long such an answer is read on." },
  headLimit: { type: "integer", default: D.head.headBytes, min: 1_024, help: "Bytes of a request or response head." },
  headFields: { type: "integer", default: D.head.headFields, min: 1, help: "Fields of a request or response head." },
  headerTimeoutMs: {
    type: "integer",
    default: D.headerTimeoutMs,
    min: 1,
    help: "A request head must be whole by then.",
  },
  idleTimeoutMs: {
    type: "integer",
    default: D.idleTimeoutMs,
    min: 1,
    help: "An idle client or tunnel is closed then.",
  },
  connectTimeoutMs: {
    type: "integer",
    default: D.connectTimeoutMs,
    min: 1,
    help: "An upstream connection is there by then.",
  },
  stallTimeoutMs: {
    type: "integer",
    default: D.stallTimeoutMs,
    min: 1,
    help: "An exchange in which nothing moves fails then.",
  },
  keepAliveMs: {
    type: "integer",
    default: D.keepAliveMs,
    min: 1,
    help: "A waiting stream gets a comment each time this passes.",
  },
  hookBudgetMs: {
    type: "integer",
    default: HOOK_BUDGET_MS,
    min: 1,
    help: "An asynchronous hook of an addon has to end by then.",
  },
  upstreamConnections: {
    type: "integer",
    default: D.upstreamConnections,
    min: 1,
    help: "Connections to one origin at a time.",
  },
  upstreamIdleMs: {
    type: "integer",
    default: D.upstreamIdleMs,
    min: 1,
    help: "An idle upstream connection is closed then.",
  },
  logLevel: {
    type: "string",
    default: "info",
    env: "LOG_LEVEL",
    help: "The least that is logged: debug, info, warn, error; -v is debug, -q warn.",
  },
  logFormat: {
    type: "string",
    default: "text",
    choices: ["text", "json"],
    help: "json: a line of JSON for each line of the log (stderr) and each flow (stdout).",
  },
  database: {
    type: "string",
    default: "",
    help: "postgres://USER@HOST/NAME: where addons' state and the history are kept. Default: two files in the confdir.",
  },
  scripts: { type: "list", default: [], help: "Addons to load, before those that -s names." },
} as const satisfies OptionSpecs

export type CoreValues = OptionValues<typeof CORE_OPTIONS>

/** Throws a UsageError that names the option. */
export function settingsFrom(values: CoreValues): ProxySettings {
  return {
    ...D,
    head: { headBytes: values.headLimit, headFields: values.headFields },
    baseUpstream: upstreamUrl(values.baseUpstream),
    baseHosts: values.baseHost.map(hostName),
    baseOrigins: values.baseOrigin,
    connectTo: values.connectTo.map(connectToRule),
    upstreamBypass: values.upstreamBypass.map(bypassRule),
    upstreamCa: values.upstreamCa.map(pemFile),
    verify: !values.insecure,
    ignoreHosts: values.ignoreHosts.map((text) => pattern("--ignore-hosts", text)),
    allowHosts: values.allowHosts.map((text) => pattern("--allow-hosts", text)),
    ...tlsSettings(values),
    proxyUsers: usersFrom(values),
    allowClients: values.allowClients.map((text) => addressRange(text, "--allow-clients")),
    allowPrivate: values.allowPrivate,
    trustedProxies: values.trustedProxy.map((text) => addressRange(text, "--trusted-proxy")),
    clientConnections: values.clientConnections,
    bodyLimit: values.bodyLimit,
    memoryLimit: values.memoryLimit,
    drainLimit: values.drainLimit,
    drainLimitMs: values.drainLimitMs,
    headerTimeoutMs: values.headerTimeoutMs,
    idleTimeoutMs: values.idleTimeoutMs,
    connectTimeoutMs: values.connectTimeoutMs,
    stallTimeoutMs: values.stallTimeoutMs,
    keepAliveMs: values.keepAliveMs,
    upstreamConnections: values.upstreamConnections,
    upstreamIdleMs: values.upstreamIdleMs,
    upstreamHttp2: values.upstreamHttp2,
    keepHostHeader: values.keepHostHeader,
    transparentPort: values.transparentPort === 0 ? undefined : values.transparentPort,
  }
}

function upstreamUrl(text: string): URL {
  if (!/^https?:\/\//i.test(text))
    throw new UsageError(`--base-upstream ${text}: the upstream needs a scheme, for example https://${text}`)
  if (!URL.canParse(text)) throw new UsageError(`--base-upstream ${text}: this is no URL`)
  return new URL(text)
}

/** curl's HOST1:PORT1:HOST2:PORT2, each part of which may be empty. */
function connectToRule(text: string): ConnectToRule {
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]]*):(\d*):(\[[0-9a-f:.]+\]|[^:[\]]*):(\d*)$/i.exec(text)
  if (match === null)
    throw new UsageError(
      `--connect-to ${text}: write HOST:PORT:ADDR:PORT, for example api.openai.com:443:127.0.0.1:8443`,
    )
  const [, host = "", port = "", toHost = "", toPort = ""] = match
  return { host: bare(text, host), port: portOf(text, port), toHost: bare(text, toHost), toPort: portOf(text, toPort) }
}

/** In the form in which hosts are compared. */
function hostName(text: string): string {
  const host = normalHost(text)
  if (host === undefined) throw new UsageError(`--base-host ${text}: this is no host name`)
  return host
}

function bare(rule: string, host: string): string {
  if (host === "") return ""
  const known = parseAuthority(host, 1)?.host
  if (known === undefined) throw new UsageError(`--connect-to ${rule}: ${host} is no host`)
  return known
}

function portOf(text: string, port: string): number | undefined {
  if (port === "") return undefined
  const number = Number(port)
  if (number < 1 || number > 65_535) throw new UsageError(`--connect-to ${text}: ${port} is no port`)
  return number
}

function usersFrom({ proxyAuth, proxyAuthFile }: CoreValues): ProxyUser[] {
  const own = proxyAuth === "" ? [] : [proxyUser(proxyAuth)]
  if (proxyAuthFile === "") return own
  const users = proxyUsers(fileText("--proxy-auth-file", proxyAuthFile, "utf8"), proxyAuthFile)
  return [...users.filter(({ name }) => name !== own[0]?.name), ...own]
}

function fileText(option: string, path: string, encoding: "latin1" | "utf8"): string {
  try {
    return readFileSync(path, encoding)
  } catch (thrown) {
    throw new UsageError(`${option} ${path}: ${whyUnread(thrown)}`)
  }
}

function pemFile(path: string): string {
  const text = fileText("--upstream-ca", path, "latin1")
  const wrong = explainPem(text)
  if (wrong !== undefined) throw new UsageError(`--upstream-ca ${path}: ${wrong}`)
  return text
}

function pattern(option: string, text: string): RegExp {
  try {
    return new RegExp(text, "i")
  } catch (thrown) {
    throw new UsageError(`${option} ${text}: ${messageOf(thrown)}`)
  }
}

/** The base URL for clients, as it is printed and as `run` sets it. */
export function baseUrlOf(host: string, port: number): string {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host
  return `http://${hostAndPort(reachable, port)}`
}

/** The server that everything is kept on, for commands that start no proxy; undefined: files in the confdir. Throws a UsageError. */
export function databaseOf(sources: OptionSources): string | undefined {
  return databaseUrl(resolveOptions(undefined, { database: CORE_OPTIONS.database }, sources).database)
}

/** Throws a UsageError for what is no URL of PostgreSQL's. */
export function databaseUrl(text: string): string | undefined {
  if (text === "") return undefined
  if (/^postgres(?:ql)?:\/\//i.test(text)) return text
  throw new UsageError("--database: must be a URL of PostgreSQL's, as in postgres://user@localhost/llmproxy")
}

/** Words of other programs' logs for our levels; LOG_LEVEL is often theirs. */
const LEVELS: Readonly<Record<string, LogLevel>> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  notice: "info",
  warn: "warn",
  warning: "warn",
  error: "error",
  critical: "error",
  fatal: "error",
}

/** In any case. Throws a UsageError. */
export function logLevelOf({ logLevel }: Pick<CoreValues, "logLevel">): LogLevel {
  const word = logLevel.trim().toLowerCase()
  const level = Object.hasOwn(LEVELS, word) ? LEVELS[word] : undefined
  if (level === undefined)
    throw new UsageError(
      `logLevel ${JSON.stringify(logLevel)}: must be one of debug, info, warn, error (LOG_LEVEL sets it, too)`,
    )
  return level
}
