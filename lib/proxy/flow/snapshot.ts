/**
 * A flow as plain data: a copy of what it is at that moment, that keeps nothing of the flow alive.
 */
import type { ClientInfo, Flow, FlowSnapshot } from "../../api/flow.ts"
import type { FlowRequestState } from "./request.ts"
import type { FlowResponseState } from "./response.ts"

type Plain = "id" | "client" | "server" | "llm" | "routed" | "error" | "timings" | "metadata"

/** What is copied of a flow. */
export interface SnapshotFlow extends Pick<Flow, Plain> {
  readonly parent: Pick<Flow, "id"> | undefined
  readonly request: FlowRequestState
  readonly response: FlowResponseState | undefined
  /** Bytes of the bodies that have passed. */
  readonly sizes: { readonly request: number; readonly response: number }
}

export function snapshotOf(flow: SnapshotFlow): FlowSnapshot {
  const { request, response, llm, client, error } = flow
  return {
    id: flow.id,
    parentId: flow.parent?.id,
    client: clientOf(client),
    server: copied(flow.server),
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
            error: copied(llm.error),
          },
    routed: copied(flow.routed),
    error: error === undefined ? undefined : { source: error.source, code: error.code, message: error.message },
    timings: { ...flow.timings },
    bytes: { ...flow.sizes },
    metadata: plain(flow.metadata),
  }
}

function copied<T>(value: T): T {
  return structuredClone(value)
}

/** Notes of addons, save those that are no data: a function or a timer stays with its flow. */
function plain(metadata: Record<string, unknown>): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(metadata)) {
    try {
      result[key] = structuredClone(value)
    } catch {
      // A DataCloneError: nothing that a record could keep.
    }
  }
  return result
}

function clientOf({ id, user, label, claims, address, port, tls }: ClientInfo): FlowSnapshot["client"] {
  return { id, user, label, claims: copied(claims), address, port, tls: copied(tls) }
}
