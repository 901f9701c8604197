import assert from "node:assert/strict"
import { test } from "tap"
import { PairList } from "../../lib/base/pairs.ts"

function over(kind: "query" | "cookies", text: string) {
  const place = {
    text,
    read: () => place.text,
    write(changed: string) {
      place.text = changed
    },
  }
  return { place, pairs: PairList[kind](place) }
}

test("a query is read decoded, as URLSearchParams reads it", async () => {
  for (const text of ["", "a=1", "a=1&a=2&b", "a+b=%C3%A9&=x&&c=%zz", "?a=1&b=?", "a=b=c"]) {
    const { pairs } = over("query", text)
    // The leading question mark is one of ours here: that of the path is not in the text.
    const expected = text.startsWith("?")
      ? [["?a", "1"], ...new URLSearchParams(text.slice(5))]
      : new URLSearchParams(text)
    assert.deepEqual([...pairs], [...expected], text)
    assert.equal(pairs.size, [...expected].length)
  }
})

test("an edit of a query changes that pair, and every other one keeps its characters", async () => {
  const odd = "x=%7e~!'()*&&y&a=1&z=a+b%20c&a=2"
  const edits: [(pairs: PairList) => void, string][] = [
    [(pairs) => pairs.set("a", "é&="), "x=%7e~!'()*&&y&a=%C3%A9%26%3D&z=a+b%20c"],
    [(pairs) => pairs.append("a", "3"), `${odd}&a=3`],
    [(pairs) => pairs.delete("a"), "x=%7e~!'()*&&y&z=a+b%20c"],
    [(pairs) => pairs.set("new", ""), `${odd}&new=`],
    [(pairs) => pairs.set("z", "a b c"), odd],
    [(pairs) => pairs.delete("none"), odd],
  ]
  for (const [edit, expected] of edits) {
    const { place, pairs } = over("query", odd)
    edit(pairs)
    assert.equal(place.text, expected)
  }
})

test("cookies are read and written as they stand, without an encoding", async () => {
  const { place, pairs } = over("cookies", 'a=1; b="x y";c=%20;  odd; a=2; d=e=f')
  assert.deepEqual(
    [...pairs],
    [
      ["a", "1"],
      ["b", '"x y"'],
      ["c", "%20"],
      ["a", "2"],
      ["d", "e=f"],
    ],
  )
  assert.deepEqual(
    [pairs.get("a"), pairs.getAll("a"), pairs.has("odd"), pairs.get("none")],
    ["1", ["1", "2"], false, undefined],
  )
  pairs.set("c", "3")
  pairs.append("g", "h")
  pairs.delete("a")
  assert.equal(place.text, ' b="x y"; c=3;  odd; d=e=f; g=h')
})

test("what is no cookie is refused: a name that is no token, a value that would be two, or no field", async () => {
  const { place, pairs } = over("cookies", "a=1")
  for (const [name, value] of [
    ["a b", ""],
    ["", "x"],
    ["a", "x; y=z"],
    ["a", "x\r\nSet-Cookie: y"],
    ["a", " x"],
    ["a", "\u20ac"],
  ] as const)
    assert.throws(() => pairs.set(name, value), TypeError, `${name}=${value}`)
  assert.equal(place.text, "a=1")
})
