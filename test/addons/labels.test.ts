/**
 * Bytes before labels, in the whole program: a right local answer under any label reaches the client, and the cloud is
 * not asked for it; the history keeps what an answer said, and the usage addon counts it.
 */
import { join } from "node:path"
import { type Test, test } from "tap"
import { HISTORY_FILE } from "../../lib/api/store.ts"
import { dialectFor } from "../../lib/llm/index.ts"
import { openSqlite } from "../../lib/store/sqlite.ts"
import {
  CHAT_PATH,
  CLOUD,
  chatBody,
  localHost,
  MODELS,
  message,
  notExpected,
  startRig,
} from "../helpers/conductor-rig.ts"
import { textEvent } from "../helpers/hosts/proxy-host.ts"
import { ANSWER_FORMS, type AnswerForm, LABELS, labelled, SECRET_TEXT } from "../helpers/llm/answer-forms.ts"
import { assembled, decodeAll } from "../helpers/llm/dialect-fixtures.ts"
import type { WireResponse } from "../helpers/wire/wire.ts"

const CODINGS = [
  "",
  "Content-Encoding: none\r\n",
  "Content-Encoding: utf-8\r\n",
  "Content-Encoding: gzip\r\n",
  "Content-Encoding: x-odd\r\n",
]
const BOM = "\uFEFF"

/** What a client of chat completions reads, strictly by what it asked for. */
function read({ body, headers }: WireResponse, stream: boolean): string | undefined {
  const dialect = dialectFor("POST", CHAT_PATH)
  if (headers.get("content-type") !== (stream ? "text/event-stream" : "application/json")) return undefined
  if (!stream) return dialect?.parseAnswer(JSON.parse(body.toString("utf8")))?.completion?.text
  const events = dialect === undefined ? [] : decodeAll(dialect, body)
  return events.some(({ done }) => done) ? assembled(events).finish(false).text : undefined
}

/** A conductor whose local host answers what `next` holds, and whose cloud must not be asked. */
async function conduct(t: Test, localApi: string, pages: Record<string, string> = {}) {
  const next: { bytes: Buffer } = { bytes: Buffer.alloc(0) }
  const local = localHost((_, socket) => void socket.write(next.bytes), pages)
  const rig = await startRig(t, {
    local,
    set: { localApi },
    env: { OPENAI_API_KEY: "sk-of-this-test" },
    cloud: notExpected,
  })
  return async (bytes: Buffer, stream: boolean) => {
    next.bytes = bytes
    const response = await rig.chat({ stream })
    t.equal(rig.cloud.requests.length, 0)
    return response
  }
}

const TEXT_WHOLE = {
  id: "t",
  object: "text_completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, text: SECRET_TEXT, finish_reason: "stop" }],
  usage: { prompt_tokens: 5, completion_tokens: 1, total_tokens: 6 },
}
const TEXT_EVENTS = `${textEvent("a ")}${textEvent("secret")}${textEvent(" word", "stop")}data: [DONE]\n\n`
const TEXT_FORMS = [
  JSON.stringify(TEXT_WHOLE),
  BOM + JSON.stringify(TEXT_WHOLE),
  JSON.stringify(TEXT_WHOLE, undefined, 1),
  TEXT_EVENTS,
  TEXT_EVENTS.replaceAll("data: [DONE]\n\n", "").replaceAll("data: ", "").replaceAll("\n\n", "\n"),
]

test("a local answer reaches the client whatever its labels, asked for so or not, and the cloud is not asked", async (t) => {
  const ask = { completions: await conduct(t, "completions"), messages: await conduct(t, "messages") }
  const chats = ANSWER_FORMS.filter(({ path }) => path === CHAT_PATH).map(({ body }) => body)
  for (const [api, bodies] of [
    ["completions", TEXT_FORMS],
    ["messages", chats],
  ] as const)
    for (const body of bodies)
      for (const stream of [true, false]) {
        for (const label of LABELS)
          t.equal(read(await ask[api](labelled(body, label), stream), stream), SECRET_TEXT, `${body} as ${label}`)
        for (const coding of CODINGS) {
          const response = await ask[api](labelled(body, "text/plain", coding), stream)
          t.equal(read(response, stream), SECRET_TEXT, `${body} with ${coding}`)
        }
      }
})

test("so does Ollama's own, and its pages are read", async (t) => {
  const forms = ANSWER_FORMS.filter(({ path }) => path === "/api/chat")
  const models = MODELS.replaceAll("organization_owner", "library")
  for (const mark of ["", BOM]) {
    const pages = {
      "/v1/models": mark + models,
      "/api/version": `${mark}{"version":"0.17.4"}`,
      "/api/ps": `${mark}{"models":[{"name":"deepseek-coder-6.7b","context_length":8192}]}`,
    }
    const ask = await conduct(t, "messages", pages)
    for (const { body, title } of forms)
      for (const stream of [true, false])
        for (const label of LABELS)
          t.equal(read(await ask(labelled(body, label), stream), stream), SECRET_TEXT, `${title} as ${label}`)
  }
})

test("a local answer that nobody can read is left, and the cloud is asked", async (t) => {
  const chat = ANSWER_FORMS.find(({ title }) => title === "chat JSON")?.body ?? ""
  for (const body of ["<html>busy</html>", '{"oops":1}', '{"choices":'])
    for (const stream of [true, false]) {
      const rig = await startRig(t, {
        local: localHost((_, socket) => void socket.write(labelled(body, "text/event-stream"))),
        cloud: (_, socket) => void socket.write(labelled(chat, "application/json")),
        env: { OPENAI_API_KEY: "sk-of-this-test" },
      })
      await rig.chat({ stream })
      t.equal(rig.cloud.requests.length, 1, `${body}, ${stream}`)
    }
})

test("the history keeps what an answer said, whatever its label", async (t) => {
  const next: { bytes: Buffer } = { bytes: Buffer.alloc(0) }
  const rig = await startRig(t, {
    scripts: ["addons/history.ts"],
    cloud: (_, socket) => void socket.write(next.bytes),
  })
  const asked: string[] = []
  const ask = async ({ path, body, title }: AnswerForm, label: string | undefined) => {
    next.bytes = labelled(body, label)
    const wire = await rig.through()
    wire.write(message("POST", path, CLOUD, { max_tokens: 9, stream: true, ...chatBody() }))
    await wire.response("POST")
    wire.socket.destroy()
    asked.push(`${title} as ${label}`)
  }
  for (const form of ANSWER_FORMS) for (const label of LABELS) await ask(form, label)
  await rig.app.stop()
  const { db, close } = openSqlite(join(rig.confdir, HISTORY_FILE), { readOnly: true })
  t.teardown(close)
  const rows = await db
    .selectFrom("flows")
    .leftJoin("contents", "contents.hash", "flows.answer")
    .select(["contents.json", "flows.output_tokens", "flows.finish_reason"])
    .orderBy("started_at")
    .orderBy("flows.id")
    .execute()
  t.equal(rows.length, asked.length)
  for (const [at, row] of rows.entries())
    t.match(row, { json: SECRET_TEXT, output_tokens: 4, finish_reason: "stop" }, asked[at] ?? "")
})
