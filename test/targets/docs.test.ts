/** The addon on docs/targets.md, as it stands there. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { loadAddon } from "../../lib/testing/index.ts"
import { codeOf } from "../helpers/documents.ts"
import { hostOf } from "./rig.ts"

test("the addon of the page sends a chat to the box, and to the cloud when that fails", async (t) => {
  const file = join(t.testdir(), "two-hosts.ts")
  await writeFile(file, codeOf("docs/targets.md", 'name: "two-hosts"'))
  const addon = await loadAddon(file, { options: { cloudKey: "sk-ours-0123456789" } })
  t.teardown(() => addon.close())
  t.equal((await addon.chat("Hi")).status, 200)
  t.equal(addon.asked[0]?.url, "http://127.0.0.1:1234/v1/chat/completions")
  t.match(addon.asked[0]?.json(), { model: "qwen3-4b" })
  addon.answer((asked) => (hostOf(asked) === "127.0.0.1" ? { cut: true } : "From the cloud."))
  const { completion, headers } = await addon.chat("Hi")
  t.equal(completion?.text, "From the cloud.")
  t.match(headers.get("x-llmproxy-reason"), /^the box first; box: /)
  t.equal(addon.asked.at(-1)?.headers.get("authorization"), "Bearer sk-ours-0123456789")
  t.strictSame(addon.log.errors, [])
})
