/** Percent-encoding (RFC 3986 section 2.1), read as people write it. */

/** Runs of escapes are read as UTF-8; a percent sign that escapes nothing, and bytes that are no text, stand for themselves. */
export function percentDecoded(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
    try {
      return decodeURIComponent(escapes)
    } catch {
      return escapes
    }
  })
}
