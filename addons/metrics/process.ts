/**
 * What is known of the process itself (CPU, memory, the event loop, garbage, files), by prom-client's names, which dashboards of Node
 * programs know. Loaded with the first scrape; kept over reloads, as its observers are the process's.
 */
import type { Registry } from "prom-client"

const KEPT = "process"

/** In Prometheus' text format. `state`: the addon's, which survives reloads. */
export async function processMetrics(state: Map<string, unknown>): Promise<string> {
  const kept = state.get(KEPT)
  const registry = isRegistry(kept) ? kept : await collected()
  state.set(KEPT, registry)
  return await registry.metrics()
}

async function collected(): Promise<Registry> {
  const { collectDefaultMetrics, Registry } = await import("prom-client")
  const register = new Registry()
  collectDefaultMetrics({ register })
  return register
}

function isRegistry(value: unknown): value is Registry {
  return typeof value === "object" && value !== null && "metrics" in value && typeof value.metrics === "function"
}
