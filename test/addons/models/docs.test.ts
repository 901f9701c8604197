/** What docs/models.md shows. */
import { readFileSync } from "node:fs"
import { test } from "tap"
import { parse } from "yaml"
import { chat, hostOf, others, startModels } from "./rig.ts"

const PAGE = readFileSync("docs/models.md", "utf8")

test("the page's config does what the page says", async (t) => {
  const config = parse(/^```yaml\n(.*?)^```$/ms.exec(PAGE)?.[1] ?? "")
  const say = (asked: Parameters<typeof hostOf>[0]) =>
    hostOf(asked) === "127.0.0.1:1234" ? { status: 500, text: "no" } : "Hello."
  const addon = await startModels(t, config.models, { say })
  for (const model of ["fast", "llama3.2", "gpt-4.1"]) t.equal((await addon.request(chat(model))).status, 200)
  t.same(
    others(addon).map((asked) => [hostOf(asked), asked.llm?.model]),
    [
      ["127.0.0.1:1234", "qwen3-4b"],
      ["api.openai.com", "gpt-4.1-mini"],
      ["127.0.0.1:11434", "llama3.2"],
      ["api.openai.com", "gpt-4.1"],
    ],
  )
  const json = /-d '(.*?)'/.exec(PAGE)?.[1] ?? ""
  const shown = await addon.request({
    url: "/v1/chat/completions",
    text: json,
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
  })
  t.equal(shown.status, 200, "curl says that it is a form")
})
