/**
 * A whole proxy for tests of sockets: real listener on a free port, a clock that is turned by hand, log lines kept.
 */
import type { Test } from "tap"
import type { Hooks } from "../../lib/api/hooks.ts"
import { makeLogger } from "../../lib/base/log.ts"
import { HookChain, type LoadedAddon } from "../../lib/loader/chain.ts"
import { type Mode, REGULAR } from "../../lib/proxy/session/mode.ts"
import { ProxyServer } from "../../lib/proxy/session/server.ts"
import type { OriginalDestination } from "../../lib/proxy/session/transparent.ts"
import { DEFAULT_SETTINGS, type ProxySettings } from "../../lib/proxy/settings.ts"
import type { Lookup } from "../../lib/proxy/upstream/dial.ts"
import { RouteTable } from "../../lib/serve/routes.ts"
import { type OwnPage, WebServing } from "../../lib/serve/serving.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
import { type ReplyScript, ScriptedOrigin } from "../../lib/testing/origin.ts"
import { type TestCertificates, testCertificates } from "./test-certificates.ts"

export interface TestProxyOptions {
  settings?: Partial<ProxySettings>
  hooks?: Partial<Hooks>
  addon?: Partial<LoadedAddon>
  host?: string
  /** Of its one listener; further ones are the test's to open. */
  mode?: Mode
  destinationOf?: OriginalDestination
  lookup?: Lookup
  /** Our own page. Default: the proxy serves nothing at its address. */
  page?: OwnPage
  /** The names that the CA may sign for. */
  permits?: (name: string) => boolean
}

export interface TestProxy {
  readonly server: ProxyServer
  readonly port: number
  readonly clock: ManualClock
  /** `level message`. */
  readonly lines: string[]
  readonly certificates: TestCertificates
  /** Resolves when a log line includes `text`. */
  logged(text: string): Promise<string>
}

let shared: Promise<TestCertificates> | undefined

/** One CA for all tests of a file. The proxy trusts it upstream as well. */
export function sharedCertificates(): Promise<TestCertificates> {
  shared ??= testCertificates()
  return shared
}

export async function startProxy(t: Test, options: TestProxyOptions = {}): Promise<TestProxy> {
  const certificates = await sharedCertificates()
  const clock = new ManualClock(Date.now())
  const lines: string[] = []
  const waiting: (() => void)[] = []
  const log = makeLogger((line, level) => {
    lines.push(`${level} ${line}`)
    for (const wake of waiting.splice(0)) wake()
  }, "debug")
  const addon: LoadedAddon = {
    name: "test",
    onError: "continue",
    reads: undefined,
    hold: false,
    hooks: options.hooks ?? {},
    file: undefined,
    ...options.addon,
  }
  const chain = new HookChain(options.hooks === undefined ? [] : [addon], { clock, budgetMs: 5_000 })
  const settings = { ...DEFAULT_SETTINGS, upstreamCa: [certificates.ca], ...options.settings }
  const server = new ProxyServer({
    settings,
    clock,
    log,
    chain: () => chain,
    leaf: (name, further) => certificates.contextFor(name, further),
    ...(options.page === undefined ? {} : { serving: servingOf(options.page, settings) }),
    ...(options.permits === undefined ? {} : { permits: options.permits }),
    ...(options.lookup === undefined ? {} : { lookup: options.lookup }),
    ...(options.destinationOf === undefined ? {} : { destinationOf: options.destinationOf }),
  })
  const { port } = await server.listen(options.host ?? "127.0.0.1", 0, options.mode ?? REGULAR)
  t.teardown(() => server.stop(0))
  const logged = async (text: string): Promise<string> => {
    for (;;) {
      const line = lines.find((one) => one.includes(text))
      if (line !== undefined) return line
      await new Promise<void>((resolve) => waiting.push(resolve))
    }
  }
  return { server, port, clock, lines, certificates, logged }
}

function servingOf(page: OwnPage, settings: ProxySettings): WebServing {
  const routes = new RouteTable([])
  return new WebServing({
    routes: () => routes,
    page,
    settings,
    adminToken: "",
    hold: () => () => {},
    failed: () => {},
  })
}

/** An origin that the test closes; with `name`, it speaks TLS with a certificate for that name. */
export async function startOrigin(t: Test, reply: ReplyScript, name?: string): Promise<ScriptedOrigin> {
  const tls = name === undefined ? undefined : (await sharedCertificates()).chainFor(name)
  const origin = await ScriptedOrigin.start(reply, tls)
  t.teardown(() => origin.close())
  return origin
}

/** Settings that send base-URL requests to an origin. */
export function baseTo(origin: ScriptedOrigin, scheme: "http" | "https" = "http"): Partial<ProxySettings> {
  return { baseUpstream: new URL(`${scheme}://127.0.0.1:${origin.port}`) }
}

/** Settings that connect every name to an origin. */
export function everythingTo(origin: { readonly port: number }): Partial<ProxySettings> {
  return { connectTo: [{ host: "", port: undefined, toHost: "127.0.0.1", toPort: origin.port }] }
}

/** A plain answer with its length. */
export function ok(body: string, fields = ""): string {
  return `HTTP/1.1 200 OK\r\n${fields}Content-Length: ${Buffer.byteLength(body, "latin1")}\r\n\r\n${body}`
}

/** Resolves when `condition` holds, looked at after each turn of the event loop. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

/** Answers every request with the same bytes. */
export function always(bytes: string): ReplyScript {
  return (_, socket) => {
    socket.write(Buffer.from(bytes, "latin1"))
  }
}
