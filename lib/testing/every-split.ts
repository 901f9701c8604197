/**
 * Every way in which the network can cut a message in two. A decoder that gives the same result for all of them
 * holds no assumption about where a chunk ends. Part of `llmproxy/testing`.
 */

/**
 * Yields `bytes` cut in two at every offset, from ["", all] to [all, ""]: `bytes.length + 1` pairs.
 * Each pair is a copy of its own, so a decoder that keeps views or a test that scribbles disturbs no other.
 *
 *     for (const [before, after] of everySplit(Buffer.from("data: é\n\n"))) {
 *       const decoder = new SseDecoder()
 *       assert.deepEqual([...decoder.feed(before), ...decoder.feed(after)], expected, `cut at byte ${before.length}`)
 *     }
 */
export function* everySplit(bytes: Uint8Array): Generator<[Buffer, Buffer], void> {
  for (let cut = 0; cut <= bytes.length; cut++)
    yield [Buffer.from(bytes.subarray(0, cut)), Buffer.from(bytes.subarray(cut))]
}
