/**
 * The benchmark's HTTP/2 load: some connections, several streams outstanding on each, the same request and the same
 * check of the answer as load.ts.
 */
import { type ClientHttp2Session, connect } from "node:http2"
import { createSecureContext } from "node:tls"
import { BODY, FIELDS, type LoadResult, type LoadTarget, open } from "./load.ts"

/** `requests` over `connections`, `streams` at a time on each. */
export async function closedLoopHttp2(
  target: LoadTarget,
  requests: number,
  connections: number,
  streams: number,
): Promise<LoadResult> {
  const authority = `${target.host}:${target.originPort}`
  const head = { ...FIELDS, ":method": "POST", ":path": "/v1/bench", ":authority": authority, ":scheme": "https" }
  const secureContext = createSecureContext({ ca: target.ca })
  let left = requests
  let errors = 0
  let expected: Buffer | undefined
  const loop = async (session: ClientHttp2Session) => {
    while (left-- > 0) {
      const body = await ask(session, head)
      expected ??= body
      if (body === undefined || expected === undefined || !body.equals(expected)) errors++
    }
  }
  const worker = async () => {
    const socket = await open(target, secureContext, target.host, ["h2"])
    const session = connect(`https://${authority}`, { createConnection: () => socket })
    session.on("error", () => {})
    await Promise.all(Array.from({ length: streams }, () => loop(session)))
    session.destroy()
  }
  await Promise.all(Array.from({ length: connections }, worker))
  return { requests, errors }
}

/** The answer's body; undefined when it was none of status 200, or broke off. */
function ask(session: ClientHttp2Session, head: Record<string, string>): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const stream = session.request(head)
    const pieces: Buffer[] = []
    let status: unknown
    stream.on("response", (headers) => {
      status = headers[":status"]
    })
    stream.on("data", (piece: Buffer) => pieces.push(piece))
    stream.once("error", () => resolve(undefined))
    stream.once("end", () => resolve(status === 200 ? Buffer.concat(pieces) : undefined))
    stream.once("close", () => resolve(undefined))
    stream.end(BODY)
  })
}
