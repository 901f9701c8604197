/**
 * A client connection that speaks HTTP/2, for Session: every request becomes a flow that runs beside the others.
 * A file of its own, and loaded when it is first needed, because node:http2 takes 5 ms to load.
 */
import type { Duplex } from "node:stream"
import { FlowError, messageOf } from "../../base/errors.ts"
import type { HookChain } from "../../loader/chain.ts"
import type { ExchangeCore } from "../flow/core.ts"
import { exchange } from "../flow/exchange.ts"
import { CONCLUDING_MAX, type RunningFlows } from "../flow/running-flows.ts"
import { FlowState } from "../flow/state.ts"
import { Http2Client, STREAMS_MAX } from "../http2/client.ts"
import type { ClientStream } from "../streams.ts"
import type { ClientConnection } from "./client-connection.ts"
import { answerAtDoor, type Door } from "./front-door.ts"
import { resolveH2Head, type Surroundings } from "./place.ts"

export interface Http2Session {
  readonly core: ExchangeCore
  readonly connection: ClientConnection
  readonly around: Surroundings
  /** The chain for what begins now. */
  chain(): HookChain
  readonly door: Door
  readonly flows: RunningFlows
}

/** The preface still stands in `socket`. `serve()` resolves when the connection has closed. */
export function startHttp2(socket: Duplex, session: Http2Session): { client: Http2Client; serve(): Promise<void> } {
  const { core, connection, around } = session
  const client = new Http2Client(socket, {
    connection,
    clock: core.clock,
    settings: core.settings,
    resolve: (head) => resolveH2Head(head, around),
    refused: (error) => core.log.warn(`${connection.address}: refused over HTTP/2: ${error.message}`),
  })
  return { client, serve: () => client.serve({ onRequest: (stream) => void serveRequest(stream, session) }) }
}

/** Never rejects. */
async function serveRequest(stream: ClientStream, session: Http2Session): Promise<void> {
  // nghttp2 sees to it that no more than STREAMS_MAX are answered at a time: the others are ended flows.
  const turn = session.flows.begin(STREAMS_MAX + CONCLUDING_MAX)
  if (turn !== undefined) await turn
  try {
    const answered = await answerAtDoor(stream, session.door)
    if (answered !== true)
      return await session.flows.serve(new FlowState(session.core, stream, session.chain()), exchange)
  } catch (thrown) {
    const error = new FlowError("llmproxy", "internal", messageOf(thrown), { status: 500, cause: thrown })
    session.core.log.error(`${session.connection.address}: ${error.message}`)
    stream.abort(error)
  }
  session.flows.end()
}
