/**
 * Takes the bytes of a stream apart into its events, as they are: server-sent events, or JSON lines where its bytes begin as
 * JSON, whatever it is labelled. What an event means is not looked at, and put together they are the stream again.
 */

/** One event is held up to this many characters, then passed on as it is. */
const EVENT_CHARS_MAX = 8 * 1024 * 1024
const EVENT_END = /\r?\n\r?\n/
/** Of JSON lines, whatever their label. */
const LINE_END = /\n/
/** How JSON begins, and white space or a byte order mark (as latin1) before it. */
const JSON_START = /^(?:\u00ef\u00bb\u00bf)?\s*\{/
/** Of the longest end of an event. */
const END_CHARS = 4

/** The events of a stream as latin1 texts, which hold any bytes. The last may be unfinished. */
export async function* events(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let held = ""
  let hasBegun = false
  // Of its own: a pattern remembers where it is, and other streams go on between two events of this one.
  let end = new RegExp(EVENT_END, "g")
  for await (const chunk of chunks) {
    // Only an event whose end comes with this chunk can have ended: what is held has none, save for half a line end.
    const from = Math.max(0, held.length - END_CHARS)
    held += chunk.toString("latin1")
    if (!hasBegun && JSON_START.test(held)) end = new RegExp(LINE_END, "g")
    let start = 0
    end.lastIndex = from
    for (let found = end.exec(held); found !== null; found = end.exec(held)) {
      const event = held.slice(start, end.lastIndex)
      yield event
      hasBegun ||= event.trim() !== ""
      start = end.lastIndex
    }
    held = held.slice(start)
    if (held.length <= EVENT_CHARS_MAX) continue
    yield held
    held = ""
  }
  if (held !== "") yield held
}
