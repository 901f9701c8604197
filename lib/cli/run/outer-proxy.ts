/**
 * The proxy that this shell's programs go through, where `run` is about to put itself in its place: a company's, which
 * is the only way out. It becomes our own way out. One that is an llmproxy itself, or that is not there any more, does not.
 */

import { OWN_SERVER } from "../../proxy/access/refusal.ts"
import { parseVia, viaForPeople } from "../../proxy/io/via-address.ts"
import { isLoopbackHost } from "../../proxy/upstream/self.ts"
import type { Ask } from "../doctor/ask.ts"
import type { Environment } from "./environment.ts"

/** In this order: what LLM hosts are asked through comes first. */
const NAMES = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY"]
/** Whatever NO_PROXY says: this machine is no proxy's to reach. */
const HERE = ["localhost", "127.0.0.1", "::1"]

export interface OuterProxy {
  /** As --mode upstream takes it, with its credentials. */
  readonly via: string
  /** The hosts that are reached without it. */
  readonly bypass: readonly string[]
  /** For people: the variable, and host and port. */
  readonly text: string
}

/** The proxy of the environment; undefined where there is none to go through. `ask`: of one on this machine, what it is. */
export async function outerProxy(env: Environment, ask: Ask): Promise<OuterProxy | undefined> {
  const name = NAMES.find((one) => env[one])
  if (name === undefined) return undefined
  const given = env[name] ?? ""
  const via = given.includes("://") ? given : `http://${given}`
  const proxy = parseVia(via)
  if (proxy === undefined) return undefined
  if (isLoopbackHost(proxy.host) && proxy.scheme === "http") {
    const reply = await ask(new URL("/.llmproxy/", via.replace(/\/\/[^@/]*@/, "//")).href)
    if (reply.kind === "refused" || (reply.kind === "answer" && reply.server === OWN_SERVER)) return undefined
  }
  const named = (env.no_proxy || env.NO_PROXY || "").split(/[\s,]+/).filter((entry) => entry !== "")
  return { via, bypass: [...named, ...HERE], text: `${viaForPeople(via)} (${name})` }
}
