/** Our formats against the models' own templates, over conversations with roles in any order. */
import { existsSync, readFileSync } from "node:fs"
import tap from "tap"
import type { Message } from "../../../lib/llm/model.ts"
import { templateNamed } from "../../../lib/llm/template/index.ts"
import { generatedConversation, renderedBy } from "../../helpers/llm/conversations.ts"
import { OWN_TEMPLATES, type OwnTemplate } from "../../helpers/llm/own-templates.ts"

interface Recorded {
  readonly source: string
  /** The conversation, and the own template's prompt of it; null where it refused. */
  readonly prompts: readonly { readonly messages: readonly Message[]; readonly own: string | null }[]
}

const CONVERSATIONS = 1_000
const { LLMPROXY_TEST_TEMPLATES: folder } = process.env

function recorded(name: string): Recorded {
  const file = new URL(`../../fixtures/templates/${name}.json`, import.meta.url)
  return JSON.parse(readFileSync(file, "utf8")) as Recorded
}

/** What ours is to be; undefined where the own template refused, or the two are not to be compared. */
function expected(template: OwnTemplate, messages: readonly Message[], own: string | null): string | undefined {
  if (own === null) return undefined
  const given = template.given?.(messages) ?? messages
  return template.ours === undefined ? own : template.ours(own, given)
}

for (const template of OWN_TEMPLATES) {
  const { name, source, tokens } = template
  const render = (messages: readonly Message[]) => templateNamed(name)?.render(messages).prompt

  tap.test(
    `${name}: recorded prompts of the model's own template are ours, save the differences that are named`,
    (t) => {
      const { source: recordedFrom, prompts } = recorded(name)
      t.equal(recordedFrom, source)
      let compared = 0
      for (const { messages, own } of prompts) {
        const prompt = expected(template, messages, own)
        if (prompt === undefined) continue
        compared++
        t.equal(render(messages), prompt, JSON.stringify(messages))
      }
      t.ok(compared * 3 >= prompts.length, `${compared} of ${prompts.length} were compared`)
      t.end()
    },
  )

  const file = `${folder}/${name}.jinja`
  if (folder === undefined || !existsSync(file)) tap.comment(`not here: ${name}.jinja in LLMPROXY_TEST_TEMPLATES`)
  else
    tap.test(`${name}: the model's own template gives what ours gives`, (t) => {
      const own = readFileSync(file, "utf8")
      let compared = 0
      for (let seed = 0; seed < CONVERSATIONS; seed++) {
        const messages = generatedConversation(seed)
        const prompt = expected(
          template,
          messages,
          renderedBy(own, template.given?.(messages) ?? messages, tokens) ?? null,
        )
        if (prompt === undefined) continue
        compared++
        if (render(messages) !== prompt) t.equal(render(messages), prompt, JSON.stringify(messages))
      }
      t.ok(compared * 3 >= CONVERSATIONS, `${compared} of ${CONVERSATIONS} were compared`)
      t.end()
    })
}
