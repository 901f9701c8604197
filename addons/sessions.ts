/**
 * Conversations that are kept here: a client names one and sends what is new, and what was said before goes with it. They belong to
 * whoever a key does. Served for Local-LLM-API's clients at /answer, and for OpenAI's by a field of their request; docs/sessions.md
 * says how. It stands before `profiles`, whose templates hold the conversation, and before `models`.
 */
import { defineAddon } from "llmproxy"
import { Asker } from "./sessions/asker.ts"
import { declareSessions } from "./sessions/command.ts"
import { type Parts, serveSessions } from "./sessions/endpoints.ts"
import { SessionFlows } from "./sessions/flows.ts"
import { OPTIONS } from "./sessions/options.ts"
import { SessionStore } from "./sessions/store.ts"
import { MIGRATIONS, type Tables } from "./sessions/tables.ts"
import { Turns } from "./sessions/turns.ts"

export default defineAddon({
  name: "sessions",
  // A chat without what was said before would be another one.
  onError: "block",
  options: OPTIONS,
  addons: ["./profiles.ts"],
  setup(context) {
    const { tables, clock, log } = context
    const asker = new Asker(context)
    const opening = tables<Tables>(MIGRATIONS).then((db): Parts => {
      const store = new SessionStore(db, clock)
      return { asker, store, turns: new Turns(store, clock, log) }
    })
    opening.catch(() => {}) // The start tells of it.
    const flows = new SessionFlows(context, async () => (await opening).turns)
    serveSessions(context, () => opening)
    declareSessions(context.command, async () => (await opening).store)
    return {
      requestHeaders: (flow) => flows.head(flow),
      llmRequest: (flow) => flows.begin(flow),
      llmResponse: (flow, completion) => flows.whole(flow, completion),
      response: (flow) => flows.end(flow),
      error: (flow) => flows.end(flow),
    }
  },
})
