import { test } from "tap"
import { events } from "../../../addons/usage/events.ts"
import { everySplit } from "../../../lib/testing/every-split.ts"

async function* of(...pieces: Buffer[]): AsyncGenerator<Buffer> {
  yield* pieces
}

async function all(stream: AsyncIterable<string>): Promise<string[]> {
  const texts: string[] = []
  for await (const text of stream) texts.push(text)
  return texts
}

test("events and lines are told apart by how the stream begins, at any split", async (t) => {
  const cases = [
    ["data: a\n\n", ": b\r\n\r\n", "data: {c}\ndata: d\n\n", "data: cut"],
    ['{"a":1}\n', '{"b":"\u00e9"}\r\n', "\n", '{"c":'],
    ['\uFEFF{"a":1}\n', "{}\n"],
    ["\n", ' {"a":1}\n', "{}"],
    ["oops\n{}\n\n", "{}"],
  ]
  for (const expected of cases) {
    const bytes = Buffer.from(expected.join(""))
    const texts = expected.map((text) => Buffer.from(text).toString("latin1"))
    for (const split of everySplit(bytes))
      t.strictSame(await all(events(of(...split))), texts, `cut at ${split[0].length}`)
  }
})

test("a stream that waits for its reader is none the worse for another that goes on meanwhile", async (t) => {
  const slow = events(of(Buffer.from("data: a\n\ndata: b\n\n")))
  t.equal((await slow.next()).value, "data: a\n\n")
  t.strictSame(await all(events(of(Buffer.from(": long, long, long ago\n\ndata: x\n\n")))), [
    ": long, long, long ago\n\n",
    "data: x\n\n",
  ])
  t.strictSame(await all(slow), ["data: b\n\n"])
})

test("an event beyond 8 MiB passes as it comes", async (t) => {
  const piece = Buffer.alloc(1_048_576, "x")
  const texts = await all(events(of(...Array.from({ length: 9 }, () => piece), Buffer.from("y\n\n"))))
  t.strictSame(
    texts.map(({ length }) => length),
    [9 * piece.length, 3],
  )
})
