/** The line that is to answer for an error: which frames of a stack are a user's, and where. */
import { test } from "tap"
import { FlowError } from "../../lib/base/errors.ts"
import { thrownAt } from "../../lib/loader/thrown-at.ts"

const OWN = "/my tööls/llmproxy/dist/lib/"
const CHUNK = "file:///my%20t%C3%B6%C3%B6ls/llmproxy/dist/lib/chunks/chunk-X.js"

function placeOf(...frames: string[]): string | undefined {
  const error = new Error("x")
  error.stack = ["Error: x", ...frames.map((frame) => `    at ${frame}`)].join("\n")
  return thrownAt(error, OWN)
}

test("the line is the innermost one that is neither ours, nor a package's, nor Node's", async (t) => {
  const others = [
    `respond (${CHUNK}:4329:11)`,
    `async ${CHUNK}:1:1`,
    "reply (/work/node_modules/some-lib/index.js:3:4)",
    "new Promise (<anonymous>)",
    "async Promise.all (index 0)",
    "node:internal/main/run_main_module:28:49",
    "eval (eval at running (file:///work/a.mjs:1:2), <anonymous>:1:1)",
    "evalmachine.<anonymous>:1:1",
    "odd (file://other-host/work/a.mjs:1:1)",
  ]
  t.equal(placeOf(...others, "Object.request (/work/a.ts:8:9)", "load (/work/b.ts:1:1)"), "/work/a.ts:8:9")
  t.equal(placeOf(...others), undefined)
})

test("a place is a path, as a person writes it", async (t) => {
  for (const [frame, place] of [
    ["/work/a.ts:8:9", "/work/a.ts:8:9"],
    ["async /work/a.ts:8:9", "/work/a.ts:8:9"],
    ["async Object.request (/work/a.ts:8:9)", "/work/a.ts:8:9"],
    ["file:///my%20t%C3%B6%C3%B6ls/a.mjs:8:9", "/my tööls/a.mjs:8:9"],
    ["Object.request (/work (old)/a.ts:8:9)", "/work (old)/a.ts:8:9"],
    ["/work (old)/a.ts:8:9", "/work (old)/a.ts:8:9"],
  ] as const)
    t.equal(placeOf(frame), place, frame)
})

test("what has no stack has no place", async (t) => {
  const odd = new Error("x")
  Object.defineProperty(odd, "stack", {
    get() {
      throw new Error("none")
    },
  })
  for (const thrown of ["text", undefined, odd, new FlowError("addon", "x", "x")]) t.equal(thrownAt(thrown), undefined)
})
