import assert from "node:assert/strict"
import { test } from "tap"
import { JsonScanner } from "../../../addons/requery/json-scan.ts"

function scan(text: string): JsonScanner {
  const scanner = new JsonScanner()
  scanner.feed(text)
  return scanner
}

const TEXT =
  'Well {ok}: \u{1F600} ```json\n{ "plan" : [ ] , "a": {"tasks": []}, "b\\"": "[]{", "tasks":[1], "none": [\n]} ``` {"plan": [[]]'

test("objects, their own keys and their empty lists are found at every split", async () => {
  const whole = scan(TEXT).objects
  assert.deepEqual(
    whole.map(({ keys, empty }) => ({ keys, empty })),
    [
      { keys: [], empty: [] },
      { keys: ["plan", "a", 'b\\"', "tasks", "none"], empty: ["plan", "none"] },
      { keys: ["plan"], empty: [] },
    ],
  )
  assert.deepEqual(JSON.parse(TEXT.slice(whole[1]?.start, whole[1]?.end)).tasks, [1])
  for (let cut = 0; cut <= TEXT.length; cut++) {
    if (/[\uDC00-\uDFFF]/.test(TEXT.charAt(cut))) continue
    const scanner = new JsonScanner()
    scanner.feed(TEXT.slice(0, cut))
    scanner.feed(TEXT.slice(cut))
    assert.deepEqual(scanner.objects, whole, `cut at ${cut}`)
  }
})

test("an empty list is told at its bracket, before the object has ended", async () => {
  const scanner = scan('{"plan": [')
  assert.deepEqual(scanner.objects[0]?.empty, [])
  scanner.feed("]")
  assert.deepEqual(scanner.objects[0]?.empty, ["plan"])
  assert.equal(scanner.objects[0]?.end, undefined)
})
