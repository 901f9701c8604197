/**
 * Runs every exchange of the conformance table in one cell: a client's protocol, an upstream's, and what lies between.
 */
import type { Test } from "tap"
import { type Client, makeClient, type Way } from "./client.ts"
import { EXCHANGES } from "./exchanges.ts"
import { type Origin, type Protocol, startOrigin } from "./origin.ts"

export interface Cell {
  readonly client: Protocol
  readonly upstream: Protocol
  /** Between the proxy and the origin. */
  readonly upstreamTls: boolean
  /** False: there is no proxy on the way. Default: true. */
  readonly proxied?: boolean
  /** Opens the way from the client to the origin. */
  way(t: Test, origin: Origin): Promise<Way>
}

/** Protocols of both sides over TLS: all four. */
export const TLS_PAIRS: readonly (readonly [Protocol, Protocol])[] = [
  ["http/1.1", "http/1.1"],
  ["http/1.1", "h2"],
  ["h2", "http/1.1"],
  ["h2", "h2"],
]

/** In clear a client's HTTP/2 goes on as such where the origin speaks it, and there is no way up from HTTP/1.1. */
export const CLEAR_PAIRS: readonly (readonly [Protocol, Protocol])[] = [
  ["http/1.1", "http/1.1"],
  ["h2", "http/1.1"],
  ["h2", "h2"],
]

/** An origin with the script of every exchange. */
function startTableOrigin(t: Test, protocol: Protocol, tls: boolean): Promise<Origin> {
  const scripts = new Map(EXCHANGES.map(({ path, serve }) => [path, serve]))
  return startOrigin(t, protocol, tls, (path) => scripts.get(path))
}

export async function runCell(t: Test, cell: Cell): Promise<void> {
  const { client: protocol, upstream, upstreamTls, way: wayOf, proxied = true } = cell
  const origin = await startTableOrigin(t, upstream, upstreamTls)
  const way = await wayOf(t, origin)
  const clients: Client[] = []
  t.teardown(() => {
    for (const client of clients) client.close()
  })
  const another = async () => {
    const client = await makeClient(protocol, way)
    clients.push(client)
    return client
  }
  const client = await another()
  for (const { name, run } of EXCHANGES.filter((one) => proxied || one.proxied !== true))
    await t.test(name, (t) => run(t, client, another))
  t.same(origin.failures, [], "every script of the origin ran to its end")
}
