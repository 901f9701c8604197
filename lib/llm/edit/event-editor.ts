/**
 * What an editor of a dialect's events is, and what it is given. stream-edit.ts chooses one and feeds it.
 */
import type { Dialect, EncodeContext, StreamEvent } from "../dialect.ts"
import type { Delta } from "../model.ts"

/** What an editor of events has to know. */
export interface EditedStream {
  readonly dialect: Dialect
  readonly context: EncodeContext
  /** Events that we have written, in the framing of those that come. */
  write(text: string): Buffer
}

/** What a dialect's events become. */
export interface EventEditor {
  /** What leaves for `event`, whose deltas became `made`, one list for each. */
  edit(event: StreamEvent, made: readonly (readonly Delta[])[]): Buffer
  /** The same for an event that tells nothing, or an error. Default: `raw`. */
  silent?(raw: Buffer): Buffer
  /** The same for an error that may repeat what was said before it. Default: `silent`. */
  failed?(event: StreamEvent): Buffer
  /** It looks itself for what no delta tells. Default: in what stands beside its events and their errors it does not. */
  readonly finds?: boolean
  /** What makes an end of the stream here. */
  close(): Buffer
  /** The stream has ended: what is still to be said. */
  finish(): Buffer
}
