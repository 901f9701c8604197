/** The mutants that `npm run test:mutants` makes. */
import { test } from "tap"

const { mutantsOf } = await import(new URL("mutate.mjs", import.meta.url).href)

/** "from -> to" of each. */
function told(source: string): string[] {
  return mutantsOf(source, "a.ts").map(({ from, to }: { from: string; to: string }) => `${from} -> ${to}`)
}

test("conditions, bounds, operators, literals, statements and results have mutants", (t) => {
  t.strictSame(told("if (a) b()"), ["a -> !(a)", "b() -> {}"])
  t.strictSame(told("const x = a < b"), ["a < b -> a <= b"])
  t.strictSame(told("const x = a === b ? 1 : 2"), ["a === b -> a !== b"])
  t.strictSame(told("const x = a && b || c"), ["a && b || c -> a && b && c", "a && b -> a || b"])
  t.strictSame(told("const x = a + 1"), ["a + 1 -> a - 1"])
  t.strictSame(told("const x = !a"), ["!a -> a"])
  t.strictSame(told("for (;;) i++"), ["i++ -> {}", "i++ -> i--"])
  t.strictSame(told("const x = [true, 'a', '']"), ["true -> false", `'a' -> ""`, `'' -> "?"`])
  t.strictSame(told("function f() { return g(1) }"), ["g(1) -> undefined"])
  t.strictSame(told("const f = () => g(1)"), ["g(1) -> undefined"])
  t.end()
})

test("types, imports and texts for people have none", (t) => {
  const source = `import { a } from "b"
    type T = "x" | "y"
    interface I { f: "x" }
    throw new Error("no " + a)
    throw bad("a text that people read")
    log.warn(a + "text")`
  t.strictSame(told(source), [])
  t.strictSame(told('const x = join("a text that people read")'), [])
  t.end()
})

test("each mutant is the file with one mistake, named by its line and not by its number", (t) => {
  const source = "one(a < b)\n  one(a < b)\n"
  const mutants = mutantsOf(source, "a.ts").filter(({ to }: { to: string }) => to === "a <= b")
  t.match(mutants, [
    { line: "one(a < b)", from: "a < b", to: "a <= b", nth: 1, source: "one(a <= b)\n  one(a < b)\n" },
    { line: "one(a < b)", from: "a < b", to: "a <= b", nth: 2, source: "one(a < b)\n  one(a <= b)\n" },
  ])
  t.end()
})
