/** What an addon throws is for the log: it may name files and sockets of this machine, and no client reads it. */
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { type AddonContext, defineAddon, type Flow, type Hooks } from "../../lib/index.ts"
import { loadAddon } from "../../lib/testing/index.ts"

const SECRET = "connect ENOENT /run/postgresql/.s.PGSQL.5432"

function fails(): never {
  throw new Error(SECRET)
}

async function* broken(): AsyncGenerator<string> {
  yield ""
  fails()
}

const WAYS: Readonly<Record<string, Partial<Hooks>>> = {
  authenticate: { authenticate: fails },
  requestHeaders: { requestHeaders: fails },
  request: { request: () => Promise.reject(new Error(SECRET)) },
  llmRequest: { llmRequest: fails },
  responseHeaders: { responseHeaders: fails },
  serverConnect: { serverConnect: fails },
  "a held llmResponse": { responseHeaders: (flow) => flow.response?.hold(), llmResponse: fails },
  transform: { responseHeaders: (flow) => flow.response?.transform(fails) },
  transformDeltas: { responseHeaders: (flow) => flow.response?.transformDeltas(fails) },
  "a reply's body": { request: (flow) => flow.respond({ body: broken() }) },
}

for (const [what, hooks] of Object.entries(WAYS))
  test(`what is thrown by ${what} is in the log, and reaches no client`, async (t) => {
    const addon = await loadAddon(defineAddon({ name: "breaks", onError: "block", ...hooks }))
    t.teardown(() => addon.close())
    for (const stream of [false, true]) {
      const answer = await addon.chat("Hi.", { stream })
      t.ok(answer.broken || answer.status >= 500, `${answer.status} ${answer.text}`)
      t.notMatch(answer.text + JSON.stringify([...answer.headers]), /postgresql|ENOENT/)
      t.match(addon.log.errors.join("\n"), SECRET)
    }
  })

test("neither does what fails in a flow that an addon has sent, and whose failure it hands on", async (t) => {
  const asks = defineAddon({
    name: "asks",
    setup({ serve, send }) {
      serve({ method: "GET", path: "/ask", access: "open" }, async () => {
        const json = { model: "m", messages: [{ role: "user", content: "Hi." }] }
        const { failure } = await send({ json }, { url: "https://api.openai.com/v1/chat/completions", until: "end" })
        return new Response(failure?.message)
      })
      return {}
    },
  })
  const breaks = defineAddon({ name: "breaks", onError: "block", llmRequest: fails })
  const addon = await loadAddon(asks, { others: [breaks] })
  t.teardown(() => addon.close())
  t.match((await addon.request({ url: "/ask" })).text, /addon "breaks" failed in llmRequest, .* has the reason$/)
  t.match(addon.log.errors.join("\n"), SECRET)
})

test("while what addons keep cannot be reached, hooks and handlers that need it answer 503, and say when to come again", async (t) => {
  const confdir = t.testdir()
  const setup = ({ serve, records }: AddonContext) => {
    const asked = records("asked")
    const handler = async () => Response.json(await asked.entries())
    serve({ method: "GET", path: "/text", access: "open" }, handler)
    const refused = (status: number, message: string) => Response.json({ sorry: message }, { status })
    serve({ method: "GET", path: "/own", access: "open", refused }, handler)
    const wrapped = () => handler().catch((cause) => Promise.reject(new Error("count", { cause })))
    serve({ method: "GET", path: "/wrapped", access: "open" }, wrapped)
    return { llmRequest: async (flow: Flow) => void (await flow.waitFor(asked.increment("all"))) }
  }
  const addon = await loadAddon(defineAddon({ name: "counts", onError: "block", setup }), { confdir })
  t.teardown(() => addon.close())
  t.equal((await addon.chat("Hi.")).status, 200)
  await rm(join(confdir, "state.db"))
  const later = /cannot be reached now; try again/
  for (const url of ["/text", "/own", "/wrapped"]) {
    const answer = await addon.request({ url })
    t.same([answer.status, answer.headers.get("retry-after")], [503, "5"], url)
    t.match(url === "/own" ? (answer.json() as { sorry: string }).sorry : answer.text, later)
    t.notMatch(answer.text, /state\.db/)
  }
  const chat = await addon.chat("Hi.")
  t.same([chat.status, chat.headers.get("retry-after"), chat.error?.code], [503, "5", "store-unavailable"])
  t.match(chat.error?.message, later)
  t.match(addon.log.errors.join("\n"), /state\.db/)
})
