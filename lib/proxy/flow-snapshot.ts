/**
 * A flow as plain data: a copy of what it is at that moment, that keeps nothing of the flow alive.
 */
import type { FlowSnapshot } from "../flow.ts"
import type { FlowState } from "./flow-state.ts"

export function snapshotOf(flow: FlowState): FlowSnapshot {
  const { request, response, llm, client, error } = flow
  return {
    id: flow.id,
    parentId: flow.parent?.id,
    client: { id: client.id, address: client.address, port: client.port, tls: client.tls },
    server: flow.server === undefined ? undefined : { ...flow.server },
    request: {
      method: request.method,
      url: request.url,
      version: request.version,
      headers: [...request.headers],
      body: request.readable ? request.text : undefined,
    },
    response:
      response === undefined
        ? undefined
        : {
            status: response.status,
            headers: [...response.headers],
            body: response.readable ? response.text : undefined,
            truncated: response.truncated,
          },
    llm:
      llm === undefined
        ? undefined
        : {
            dialect: llm.dialect,
            model: llm.request.model,
            completion: llm.completion === undefined ? undefined : structuredClone({ ...llm.completion }),
            error: llm.error,
          },
    routed: flow.routed,
    error: error === undefined ? undefined : { source: error.source, code: error.code, message: error.message },
    timings: { ...flow.timings },
    bytes: { ...flow.sizes },
    metadata: { ...flow.metadata },
  }
}
