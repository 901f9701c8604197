/**
 * Which of the program's own options count from their next use on when config.yaml changes. All others are read once: a
 * port is open, a certificate made, a list of roots loaded.
 */
import type { ProxySettings } from "../proxy/settings.ts"
import type { CoreValues } from "./core.ts"

/** By option the setting that it becomes, which whoever needs it reads each time. */
const LIVE = {
  allowHosts: "allowHosts",
  baseHost: "baseHosts",
  baseOrigin: "baseOrigins",
  baseUpstream: "baseUpstream",
  bodyLimit: "bodyLimit",
  clientConnections: "clientConnections",
  connectTimeoutMs: "connectTimeoutMs",
  connectTo: "connectTo",
  drainLimit: "drainLimit",
  drainLimitMs: "drainLimitMs",
  headerTimeoutMs: "headerTimeoutMs",
  idleTimeoutMs: "idleTimeoutMs",
  ignoreHosts: "ignoreHosts",
  keepAliveMs: "keepAliveMs",
  keepHostHeader: "keepHostHeader",
  stallTimeoutMs: "stallTimeoutMs",
  upstreamBypass: "upstreamBypass",
  upstreamConnections: "upstreamConnections",
  upstreamIdleMs: "upstreamIdleMs",
} as const satisfies Partial<Record<keyof CoreValues, keyof ProxySettings>>

/** Loaded and unloaded, which is its own way of being live. */
const SCRIPTS = "scripts"

/** Sets the live ones of `present`, the object that a running program's parts all hold, to what they are in `next`. */
export function takeLive(present: ProxySettings, next: ProxySettings): void {
  Object.assign(present, Object.fromEntries(Object.values(LIVE).map((name) => [name, next[name]])))
}

/** Those of the changed options, full names, that only count at the next start. An addon's all count at once. */
export function needRestart(changed: ReadonlySet<string>): string[] {
  return [...changed].filter((name) => !name.includes(".") && name !== SCRIPTS && !Object.hasOwn(LIVE, name))
}
