/**
 * The table of secrets against everything that a person, a disk or a client gets to see: the terminal at each detail, the
 * log, the history with its exports, the live files, errors and the fields in which we explain ourselves.
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { type Test, test } from "tap"
import type { AddonDefinition } from "../../../lib/api/addon.ts"
import { Redactor } from "../../../lib/base/secrets/redactor.ts"
import { main } from "../../../lib/cli/main.ts"
import { PLAIN } from "../../../lib/cli/terminal/paint.ts"
import { makeTerminal } from "../../../lib/cli/terminal/terminal.ts"
import { EXPORT_FORMATS } from "../../../lib/store/exports.ts"
import type { ReplyScript } from "../../../lib/testing/origin.ts"
import { chatBody, message, type Rig, type RigOptions, startRig } from "../../helpers/conductor-rig.ts"
import { leaks, type SecretForm, secretForms } from "../../helpers/secret-forms.ts"
import { FakeWorld, KeptOutput } from "../../helpers/world.ts"

const FORMS = secretForms()
/** Places whose secret is part of a sentence: it may come back in answers, in reasons and in errors. */
const SAID = new Set(["request-text", "answer-text", "error-text"])

function formFor(head: string): SecretForm {
  const form = FORMS[Number(/X-Form: (\d+)/.exec(head)?.[1])]
  if (form === undefined) throw new Error(`no form in ${head}`)
  return form
}

/** Answers with the form where it belongs to an answer; what was said in the request is said again. */
const cloud: ReplyScript = ({ head, body }, socket) => {
  const { place, text, field } = formFor(head)
  const extra = place === "response-field" ? `${field[0]}: ${field[1]}\r\n` : ""
  const said = SAID.has(place) ? `\n${text}` : "Yes."
  if (place === "error-text") {
    socket.write(withLength(401, "application/json", JSON.stringify({ error: { message: text, code: "invalid" } })))
  } else if (body.includes('"stream":true')) {
    const events = [...(said.match(/[\s\S]{1,25}/g) ?? []).map((content) => event({ content })), "data: [DONE]\n\n"]
    socket.write(withLength(200, "text/event-stream", events.join(""), extra))
  } else {
    const choices = [{ index: 0, message: { role: "assistant", content: said }, finish_reason: "stop" }]
    const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
    socket.write(
      withLength(200, "application/json", JSON.stringify({ id: "1", model: "gpt-4o", choices, usage }), extra),
    )
  }
}

const event = (delta: object) =>
  `data: ${JSON.stringify({ id: "1", model: "gpt-4o", choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`

function withLength(status: number, type: string, body: string, extra = ""): string {
  return `HTTP/1.1 ${status} Told\r\nContent-Type: ${type}\r\n${extra}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

/** Repeats what it read in everything that an addon can say. */
const TALKS: AddonDefinition = {
  name: "talks",
  llmRequest(flow) {
    const said = flow.request.text.includes("see ") ? JSON.stringify(flow.llm.request.body) : "nothing"
    flow.route({ name: "cloud", reason: `because of ${said}` })
    if (flow.request.headers.has("x-refuse"))
      flow.respond({ status: 400, error: { code: "refused", message: `not with ${said}` } })
    throw new Error(`cannot work with ${said}`)
  },
}

function partsOf([name, value]: SecretForm["field"]): string {
  const part = (name: string, value: string) =>
    `--x\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  return `${part("purpose", "to be seen")}${part(name, `first line\n${value}`)}--x--\r\n`
}

/** Sends one request for each form and gives all that it was answered with in our words. */
async function sendAll(rig: Rig, isStreamed: boolean): Promise<string> {
  let words = ""
  for (const [index, form] of FORMS.entries()) {
    const { place, text, field, parameter, members } = form
    if (place === "option") continue
    const fields = place === "request-field" ? `${field[0]}: ${field[1]}\r\n` : ""
    const query = place === "query" ? `?a=1&${parameter}` : ""
    const content = place === "request-text" ? `first\n${text}` : "Hi"
    const more = place === "json-field" ? members : {}
    const json = chatBody({ ...more, messages: [{ role: "user", content }], stream: isStreamed })
    const isForm = place === "form-field"
    const isParts = place === "part-field"
    // As its client labels it, in part: what is shown of a body goes by its bytes.
    const type = isForm ? "application/x-www-form-urlencoded" : isParts ? "text/plain" : "application/json"
    const body = isForm ? `a=1&${parameter}` : isParts ? partsOf(field) : JSON.stringify(json)
    const path = isForm || isParts ? "/v1/form" : `/v1/chat/completions${query}`
    const refused = place === "request-text" ? [`${fields}X-Refuse: yes\r\n`] : []
    for (const some of [fields, ...refused]) {
      const wire = await rig.door()
      const head = `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${rig.port}\r\nX-Form: ${index}\r\n${some}`
      wire.write(`${head}Content-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
      const response = await wire.response()
      words += [...response.headers].filter(([name]) => name.startsWith("x-llmproxy-")).join("\n")
      if (some.includes("X-Refuse")) words += response.text
      wire.socket.destroy()
    }
  }
  return words
}

interface Ran {
  readonly terminal: string
  readonly log: string
  readonly words: string
  readonly kept: string
}

/** Runs the whole table at a detail; with the history and its files where they are wanted. */
async function run(t: Test, detail: number, options: RigOptions, send: (rig: Rig) => Promise<string>): Promise<Ran> {
  const out = new KeptOutput(undefined)
  const redactor = new Redactor()
  const terminal = makeTerminal({ out, paint: PLAIN, detail, redactor })
  const folder = t.testdir({})
  const files = { MIDDLE_MAN_JSON: "h.json", OUTPUT_LOG: "o.log", OPENAI_OUTPUT_LOG: "c.log" }
  const rig = await startRig(t, {
    scripts: ["addons/history.ts"],
    envFile: Object.fromEntries(Object.entries(files).map(([name, file]) => [name, join(folder, file)])),
    env: { LLMPROXY_HISTORY_ALL: "true" },
    cloud,
    redactor,
    ...options,
    builtin: [...(terminal.addon === undefined ? [] : [terminal.addon]), ...(options.builtin ?? [])],
  })
  const words = await send(rig)
  await rig.app.stop()
  const read = (path: string) => readFile(path, "latin1").catch(() => "")
  const paths = [...Object.values(files).map((file) => join(folder, file)), join(rig.confdir, "history.db")]
  const world = new FakeWorld({ cwd: folder, env: { LLMPROXY_CONFDIR: rig.confdir } })
  for (const args of [...EXPORT_FORMATS.map((format) => ["export", "--format", format]), ["list"], ["stats"]])
    t.equal(await main(["history", ...args], world), 0)
  const kept = [...(await Promise.all(paths.map(read))), world.out.text].join("\n")
  return { terminal: out.text, log: rig.lines.join("\n"), words, kept }
}

test("none of the forms is seen in any output, at any detail", async (t) => {
  const figures: string[] = []
  for (const detail of [0, 1, 2, 3, 4]) {
    const ran = await run(t, detail, { builtin: [TALKS] }, (rig) => sendAll(rig, detail >= 3))
    for (const [place, text] of Object.entries(ran)) {
      const seen = FORMS.filter((form) => leaks(text, form)).map(({ place, name }) => `${place} ${name}`)
      t.same(seen, [], `${place} at detail ${detail}`)
      figures.push(`detail ${detail} ${place}: ${seen.length} of ${FORMS.length} in ${text.length} characters`)
    }
    if (detail === 1) t.match(ran.terminal, /cloud: because of \{.*and go on/)
    if (detail === 2) t.match(ran.terminal, "first see ")
    if (detail === 3) t.match(ran.terminal, /answer +\n +see .*and go on/)
    if (detail === 4) t.match(ran.terminal, "to be seen")
    if (detail === 4) t.match(ran.terminal, '"content":"first\\nsee ')
    t.match(ran.log, /cannot work with \{.*and go on/)
    t.match(ran.kept, "and go on")
    t.match(ran.words, /not with \{.*and go on/)
  }
  for (const figure of figures) t.comment(figure)
})

test("a key of the program's own is seen in no output, whoever repeats it", async (t) => {
  const forms = FORMS.filter(({ place }) => place === "option")
  const valueNamed = (name: string) => forms.find((form) => form.name === name)?.value ?? ""
  const [cloudKey, localKey] = [valueNamed("cloudKey"), valueNamed("localKey")]
  const repeats =
    (status: number): ReplyScript =>
    ({ head }, socket) => {
      const key = /Authorization: Bearer (.*)/i.exec(head)?.[1] ?? ""
      socket.write(
        withLength(status, "application/json", JSON.stringify({ error: { message: `no such key: ${key}` } })),
      )
    }
  for (const detail of [1, 2, 3, 4]) {
    const options: RigOptions = {
      scripts: ["addons/conductor.ts", "addons/history.ts"],
      set: { cloudKey, localKey },
      local: repeats(401),
      cloud: repeats(401),
    }
    const ran = await run(t, detail, options, async (rig) => {
      const wire = await rig.door()
      wire.write(message("POST", "/v1/chat/completions", `127.0.0.1:${rig.port}`, chatBody()))
      const { headers } = await wire.response()
      wire.socket.destroy()
      return [...headers].filter(([name]) => name.startsWith("x-llmproxy-")).join("\n")
    })
    for (const [place, text] of Object.entries(ran))
      t.same(
        forms.filter((form) => leaks(text, form)).map(({ name }) => name),
        [],
        `${place} at detail ${detail}`,
      )
    t.match(ran.terminal, "no such key: ")
    t.match(ran.kept, "no such key: ")
  }
})

test("the password of a proxy on the way is seen in no output", async (t) => {
  const password = FORMS.filter(({ name }) => name === "proxy password")
  const [{ value } = { value: "" }] = password
  const parent: ReplyScript = ({ head }, socket) => {
    const said = Buffer.from(/Basic (\S+)/.exec(head)?.[1] ?? "", "base64").toString()
    socket.end(withLength(407, "text/plain", `${said} may not come, nor ${value}`))
  }
  const { origin } = await import("../../helpers/hosts/proxy-host.ts")
  const { port } = await origin(t, parent)
  const options: RigOptions = { flags: { port: 0, mode: [`upstream:http://me:${value}@127.0.0.1:${port}`] } }
  const ran = await run(t, 4, options, async (rig) => {
    const { text, headers } = await rig.chat()
    return `${[...headers].join("\n")}\n${text}`
  })
  for (const [place, text] of Object.entries(ran))
    t.same(
      password.filter((form) => leaks(text, form)),
      [],
      place,
    )
  t.match(ran.words, "407")
})
