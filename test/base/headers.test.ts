import { test } from "tap"
import { Headers } from "../../lib/base/headers.ts"

function rawHeaders(...lines: string[]): Headers {
  const headers = new Headers()
  for (const line of lines) {
    const colon = line.indexOf(":")
    headers.appendRaw(line, line.slice(0, colon))
  }
  return headers
}

test("headers are made from pairs, from a record with lists, from headers, or from nothing", (t) => {
  t.strictSame(
    new Headers([
      ["A", "1"],
      ["a", "2"],
    ]).lines(),
    ["A: 1", "a: 2"],
  )
  t.strictSame(new Headers({ A: "1", B: ["2", "3"], C: [] }).lines(), ["A: 1", "B: 2", "B: 3"])
  t.strictSame(new Headers(new Headers({ A: "1" })).lines(), ["A: 1"])
  t.equal(new Headers().size, 0)
  t.end()
})

test("names are found in any case, and the first line answers", (t) => {
  const headers = rawHeaders("X-A: 1", "x-a: 2", "B: 3")
  t.equal(headers.get("x-A"), "1")
  t.strictSame(headers.getAll("X-A"), ["1", "2"])
  t.ok(headers.has("b"))
  t.equal(headers.get("c"), undefined)
  t.strictSame(headers.getAll("c"), [])
  t.notOk(headers.has("c"))
  t.end()
})

test("lines that nobody changed keep their raw form, whatever happens to others", (t) => {
  const headers = rawHeaders("A:1", "B:  2\t", "C :3", "b:4")
  headers.set("b", "5")
  headers.append("D", "6")
  headers.delete("a")
  t.strictSame(headers.lines(), ["B: 5", "C :3", "D: 6"])
  t.end()
})

test("set keeps the place and the case of the first line, and drops the others", (t) => {
  const headers = rawHeaders("A: 1", "x-KEY: 2", "B: 3", "X-Key: 4", "X-Key: 5")
  headers.set("X-KEY", "6")
  t.strictSame(headers.lines(), ["A: 1", "x-KEY: 6", "B: 3"])
  t.strictSame(headers.lowerNames(), ["a", "x-key", "b"])
  t.equal(headers.get("x-key"), "6")
  headers.set("New", "7")
  t.equal(headers.lines().at(-1), "New: 7")
  t.end()
})

test("delete removes every line of a name and minds no name that is not there", (t) => {
  const headers = rawHeaders("A: 1", "a: 2", "B: 3", "A: 4")
  headers.delete("A")
  headers.delete("none")
  t.strictSame(headers.lines(), ["B: 3"])
  t.equal(headers.size, 1)
  t.end()
})

test("headers iterate as pairs of the name in its case and the value", (t) => {
  t.strictSame(
    [...rawHeaders("X-Y:  1", "x-y: 2")],
    [
      ["X-Y", "1"],
      ["x-y", "2"],
    ],
  )
  t.end()
})

test("a clone changes alone", (t) => {
  const headers = rawHeaders("A: 1")
  const copy = headers.clone()
  copy.set("A", "2")
  copy.append("B", "3")
  t.strictSame(headers.lines(), ["A: 1"])
  t.strictSame(copy.lines(), ["A: 2", "B: 3"])
  t.end()
})

test("a clone stays as it was, whatever is done to the other, and the other way round", (t) => {
  const changes: ((headers: Headers) => void)[] = [
    (headers) => headers.set("a", "9"),
    (headers) => headers.set("New", "9"),
    (headers) => headers.append("A", "9"),
    (headers) => headers.delete("a"),
    (headers) => headers.appendRaw("C:9", "C"),
  ]
  for (const change of changes) {
    const original = rawHeaders("A: 1", "B: 2", "a: 3")
    const clones = [original.clone(), original.clone()] as const
    const second = clones[0].clone()
    change(original)
    t.not(original.lines().join(), "A: 1,B: 2,a: 3")
    for (const other of [...clones, second]) t.strictSame(other.lines(), ["A: 1", "B: 2", "a: 3"])
    change(clones[0])
    for (const other of [clones[1], second]) t.strictSame(other.lines(), ["A: 1", "B: 2", "a: 3"])
    t.strictSame(clones[0].lines(), original.lines())
    t.strictSame(clones[0].lowerNames(), original.lowerNames())
  }
  t.end()
})

test("a name or value that would break the head is refused, and nothing is changed", (t) => {
  const headers = rawHeaders("A: 1")
  for (const name of ["", "a b", "a:", "a\r\n", "é", "(a)"]) {
    t.throws(() => headers.append(name, "x"), TypeError, name)
    t.throws(() => headers.set(name, "x"), TypeError, name)
  }
  for (const value of ["a\r\nb", "a\n", "\r", "a\0", "\x7f", "\x01", "漢"]) {
    t.throws(() => headers.append("B", value), TypeError)
    t.throws(() => headers.set("A", value), TypeError)
  }
  t.strictSame(headers.lines(), ["A: 1"])
  headers.append("B", "tab\tand \xff")
  t.equal(headers.get("b"), "tab\tand \xff")
  t.end()
})

test("names of JavaScript's own are names like others", (t) => {
  const headers = new Headers()
  t.equal(headers.get("__proto__"), undefined)
  t.notOk(headers.has("constructor"))
  headers.append("__proto__", "1")
  headers.append("constructor", "2")
  headers.append("toString", "3")
  t.strictSame([headers.get("__proto__"), headers.get("Constructor"), headers.get("tostring")], ["1", "2", "3"])
  t.end()
})
