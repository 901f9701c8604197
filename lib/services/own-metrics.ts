/** The program's own numbers, beside those of addons: connections, and what waits. */
import type { MetricSnapshot } from "../api/metrics.ts"

export interface OwnNumbers {
  /** Client connections that are open. */
  readonly clients: number
  /** Upstream connections that are open, idle ones included. */
  readonly upstreams: number
  /** Requests that wait for an upstream connection, as each origin has a limit of them. */
  readonly waiting: number
}

/** `numbers`: undefined where nothing is served yet. */
export function ownMetrics(numbers: OwnNumbers | undefined): MetricSnapshot[] {
  const { clients = 0, upstreams = 0, waiting = 0 } = numbers ?? {}
  const gauge = (name: string, help: string, value: number): MetricSnapshot => {
    return { name, kind: "gauge", help, series: [{ labels: {}, value }] }
  }
  return [
    gauge("llmproxy_client_connections", "Client connections that are open.", clients),
    gauge("llmproxy_upstream_connections", "Upstream connections that are open, idle ones included.", upstreams),
    gauge("llmproxy_upstream_waiting", "Requests that wait for an upstream connection.", waiting),
  ]
}
