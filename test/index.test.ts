/** What addons import: the names that are promised, as values. */
import assert from "node:assert/strict"
import { test } from "tap"
import * as llmproxy from "../lib/index.ts"
import * as templates from "../lib/llm/template/index.ts"
import * as testing from "../lib/testing/index.ts"

test("the addon API gives the names that it promises", async () => {
  for (const name of ["defineAddon", "FlowError", "Headers", "textOf"])
    assert.equal(typeof Reflect.get(llmproxy, name), "function", name)
  for (const name of ["cleanOutput", "renderDeepseekCoder", "StopFilter", "templateForModel"]) {
    assert.equal(typeof Reflect.get(templates, name), "function", name)
    assert.equal(Reflect.get(llmproxy, name), undefined, name)
  }
  for (const name of ["everySplit", "llmFlow", "testFlow", "ManualClock", "ScriptedOrigin"])
    assert.equal(typeof Reflect.get(testing, name), "function", name)
})

test("defineAddon gives its argument back", async () => {
  const addon = { name: "x" }
  assert.equal(llmproxy.defineAddon(addon), addon)
})
