/**
 * An answer that has to be read whole before any of it may leave: held, collected, or one JSON body whose deltas an
 * addon edits. What cannot be read, or is too large, fails the flow: it never passes unedited.
 */
import { FlowError } from "../../base/errors.ts"
import { BodyCollector } from "../body/body-collector.ts"
import { decodeContent } from "../body/content-coding.ts"
import type { Body, StreamResponseHead } from "../streams.ts"
import type { FlowCore } from "./core.ts"

/** Whose limits count. */
type LimitedFlow = Pick<FlowCore, "core" | "memory">

/** Reads a body whole, within the limits of the flow. */
export function collectorOf(flow: LimitedFlow, body: Body): BodyCollector {
  const { core, memory } = flow
  return new BodyCollector(body, { bytes: core.settings.bodyLimit, memory, tooLarge: () => tooLarge(flow) })
}

/** The body without its coding. Rejects where that cannot be taken off, or the result is too large. */
export async function decodedWhole(flow: LimitedFlow, bytes: Buffer, { headers }: StreamResponseHead): Promise<Buffer> {
  const decoded = await decodeContent(bytes, headers.get("content-encoding"), flow.core.settings.bodyLimit)
  if (decoded !== bytes && !flow.memory.take(decoded.length)) throw tooLarge(flow)
  return decoded
}

export function tooLarge(flow: LimitedFlow): FlowError {
  const message = `the answer exceeds bodyLimit (${flow.core.settings.bodyLimit} bytes) or the memory limit, and an addon has to read it whole`
  return new FlowError("upstream", "answer-too-large", message)
}
