/** What becomes of a request for somebody's object while nobody can look up whose it is. */
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { startModels } from "./rig.ts"

test("it is refused, and goes to no upstream", async (t) => {
  const confdir = t.testdir()
  const addon = await startModels(t, { default: "openai" }, { confdir })
  addon.answer({ json: { id: "file-1", object: "file" } })
  await addon.request({ url: "/v1/files", json: { purpose: "batch" } })
  const asked = addon.asked.length
  await rm(join(confdir, "state.db"))
  const answer = await addon.request({ url: "/v1/files/file-2", method: "GET" })
  t.equal(answer.status, 503)
  t.match(answer.text, /"code":"service_unavailable"/)
  t.equal(addon.asked.length, asked)
  t.match(addon.log.lines.join("\n"), /where a request goes cannot be decided/)
})
