/**
 * Edits the events of one stream. What an addon's edit leaves alone passes as its own bytes; what it changes is changed
 * in the event's own JSON, and what else the event and the stream hold stays. How depends on the dialect: events that
 * stand for themselves (chunk-edit.ts), blocks that are opened and closed (message-edit.ts), items that are told twice
 * (response-edit.ts).
 */
import { FlowError } from "../../base/errors.ts"
import type { Dialect, EncodeContext, StreamEvent } from "../dialect.ts"
import type { StreamFraming } from "../framing/framing.ts"
import { writerFor } from "../framing/reframe.ts"
import type { Delta } from "../model.ts"
import { AnewEditor } from "./anew-edit.ts"
import { ChunkEditor } from "./chunk-edit.ts"
import type { EditedStream, EventEditor } from "./event-editor.ts"
import { MessageEditor } from "./message-edit.ts"
import type { EditDelta } from "./pieces.ts"
import { ResponseEditor } from "./response-edit.ts"
import { unreadIn } from "./unread.ts"
import { withoutUntold } from "./untold.ts"

const NOTHING = Buffer.alloc(0)

export class StreamEditor {
  readonly #edit: EditDelta
  readonly #events: EventEditor
  readonly #dialect: Dialect
  readonly #framing: StreamFraming
  #first = true
  #ending = false
  #ended = false

  constructor(dialect: Dialect, context: EncodeContext, framing: StreamFraming, edit: EditDelta) {
    this.#edit = edit
    this.#dialect = dialect
    this.#framing = framing
    const written = writerFor(dialect, framing)
    this.#events = editorFor({ dialect, context, write: (text) => Buffer.from(written(text)) })
  }

  /** Nothing is to follow any more. */
  get ended(): boolean {
    return this.#ended
  }

  /** From within an edit: what that edit returns is the last of the stream. */
  stop(): void {
    this.#ending = true
  }

  /** The bytes that leave for `event`: its own where nothing changed. Throws a FlowError for one that cannot be read. */
  rewrite(came: StreamEvent): Buffer {
    if (this.#ended) return NOTHING
    const why = unreadIn(this.#dialect, this.#framing, came, this.#first)
    this.#first = false
    if (why !== undefined)
      throw new FlowError("upstream", "unreadable-event", `the stream holds ${why}, and an addon has to edit it`)
    const isSilent = came.json === undefined && came.deltas.length === 0 && !came.done
    const isAlone = isSilent || came.error !== undefined || !this.#events.finds
    const event = isAlone ? withoutUntold(this.#dialect.name, came) : came
    if (event.error !== undefined && this.#events.failed !== undefined) return this.#events.failed(event)
    if (isSilent || event.error !== undefined) return this.#events.silent?.(event.raw) ?? event.raw
    const made = event.deltas.map((delta) => (this.#ending ? rest(delta) : this.#edit(delta)))
    const bytes = this.#events.edit(event, made)
    this.#ended = this.#ending
    return this.#ending && !event.done ? Buffer.concat([bytes, this.#events.close()]) : bytes
  }

  /** What is still to be said when the stream has ended. */
  end(): Buffer {
    return this.#ended ? NOTHING : this.#events.finish()
  }
}

/** Behind the end within one event: its texts are no more wanted, what stands beside them and the count are. */
function rest(delta: Delta): readonly Delta[] {
  return delta.type === "usage" || delta.type === "other" ? [delta] : []
}

function editorFor(stream: EditedStream): EventEditor {
  switch (stream.dialect.name) {
    case "anthropic-messages":
      return new MessageEditor(stream)
    case "openai-responses":
      return new ResponseEditor(stream)
    case "openai-realtime":
      return new AnewEditor(stream)
    default:
      return new ChunkEditor(stream)
  }
}
