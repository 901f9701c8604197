/** Bodies as they are printed: no secret is seen in them, whatever pieces it came in. */
import { type Test, test } from "tap"
import { Redactor } from "../../lib/base/secrets/redactor.ts"
import { BODY_BYTES_MAX, requestText, responseText } from "../../lib/cli/terminal/flow-text.ts"
import { testFlow } from "../../lib/testing/flows.ts"
import { leaks, type SecretForm, secretForms } from "../helpers/secret-forms.ts"
import { endedFlow } from "../helpers/shown-flow.ts"

const FORMS = secretForms()

/** The form as a model would write it, or a host repeat it. */
function saidOf({ place, parameter, members, text }: SecretForm): string {
  if (place === "query" || place === "form-field") return `see https://host.example/x?a=1&${parameter} and go on`
  if (place === "json-field") return `see ${JSON.stringify(members)} and go on`
  return text
}

/** A redactor that has seen what stands in a field, and knows what is an option. */
function redactorFor({ place, field, value }: SecretForm): Redactor {
  const redactor = new Redactor()
  if (place.endsWith("-field")) redactor.learn([field])
  if (place === "option") redactor.know([value])
  return redactor
}

/** How two pieces of a text are told. */
type Framing = (pieces: readonly [string, string]) => { readonly type: string; readonly body: string }

const events = (values: readonly object[]) => values.map((value) => `data: ${JSON.stringify(value)}\n\n`).join("")
const EVENTS = "text/event-stream"

const FRAMINGS: Readonly<Record<string, Framing>> = {
  "a chat's deltas, two choices in turn": (pieces) => ({
    type: EVENTS,
    body: events(
      pieces.flatMap((content) => [
        { id: "1", choices: [{ index: 0, delta: { content }, finish_reason: null }] },
        { id: "1", choices: [{ delta: { content: "no " }, index: 1 }] },
      ]),
    ),
  }),
  "a call's arguments": (pieces) => ({
    type: EVENTS,
    body: events(
      pieces.map((text) => ({ choices: [{ delta: { tool_calls: [{ index: 0, function: { arguments: text } }] } }] })),
    ),
  }),
  "blocks of a message, under named events": (pieces) => ({
    type: EVENTS,
    body: pieces
      .map((text) => ({ type: "content_block_delta", index: 1, delta: { type: "text_delta", text } }))
      .map((event) => `event: content_block_delta\r\ndata:${JSON.stringify(event)}\r\n\r\n`)
      .join(": ping\r\n\r\n"),
  }),
  "a response's deltas": (pieces) => ({
    type: EVENTS,
    body: events(
      pieces.map((delta, i) => ({ type: "response.output_text.delta", sequence_number: i, output_index: 0, delta })),
    ),
  }),
  "JSON lines": (pieces) => ({
    type: "application/x-ndjson",
    body: pieces
      .map((content) => `${JSON.stringify({ model: "m", message: { role: "assistant", content } })}\n`)
      .join(""),
  }),
  "a streamed array": (pieces) => ({
    type: "application/json",
    body: `[${pieces.map((text) => JSON.stringify({ candidates: [{ content: { parts: [{ text }] } }] }, undefined, 1)).join("\n,\r\n")}]`,
  }),
  "events of plain text": (pieces) => ({ type: EVENTS, body: pieces.map((text) => `data: ${text}\n\n`).join("") }),
  "the tokens of one answer": (pieces) => ({
    type: "application/json",
    body: JSON.stringify({ choices: [{ logprobs: { content: pieces.map((token) => ({ token, logprob: -1 })) } }] }),
  }),
  escapes: (pieces) => ({
    type: EVENTS,
    body: pieces.map((text) => `data: {"t":"${text.replace(/[\s\S]/g, escaped)}"}\n\n`).join(""),
  }),
}

const escaped = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`
const unescaped = (text: string) =>
  text.replace(/\\u([0-9a-f]{4})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))

async function shown(body: string, type: string, redactor: Redactor): Promise<readonly [string, string]> {
  const headers: [string, string][] = [["Content-Type", type]]
  const { flow } = await testFlow({ method: "POST", headers, text: body })
  return [
    requestText(flow, { redactor }),
    responseText(await endedFlow({}, { status: 200, headers, body }), { redactor }),
  ]
}

test("no form is seen in a body, wherever it is cut over two pieces", async (t) => {
  for (const [name, frame] of Object.entries(FRAMINGS)) {
    const seen = new Set<string>()
    for (const form of FORMS) {
      const said = saidOf(form)
      const redactor = redactorFor(form)
      for (let cut = 0; cut <= said.length; cut++) {
        const { type, body } = frame([said.slice(0, cut), said.slice(cut)])
        for (const text of await shown(body, type, redactor))
          if (leaks(unescaped(text), form)) seen.add(`${form.place} ${form.name} cut at ${cut}: ${text}`)
      }
    }
    t.same([...seen].slice(0, 3), [], `${name}: ${seen.size}`)
  }
})

test("no form is seen that comes by the character", async (t) => {
  for (const form of FORMS) {
    const body = events([...saidOf(form)].map((piece) => ({ t: piece })))
    const [, text] = await shown(body, EVENTS, redactorFor(form))
    const pieces = [...text.matchAll(/"t":"((?:\\.|[^"])*)"/g)].map(([, piece = ""]) => piece)
    notSeen(t, pieces.join(""), form)
    t.match(pieces.join(""), "go on")
  }
})

function notSeen(t: Test, text: string, form: SecretForm): void {
  if (leaks(text, form)) t.fail(`${form.place} ${form.name}: ${text}`)
}

test("a body that is cut where printing ends shows no part of a secret", async (t) => {
  const core = "9fK2x1LqZ7bW3tRm8YvN4cHs6JpD5gQa0EuT2kXi"
  const redactor = new Redactor()
  redactor.know([core])
  for (const before of [0, 1, 7, 12, 39, 40, 60]) {
    const lead = "x ".repeat(BODY_BYTES_MAX / 2 - 100)
    const body = `${lead}${"y".repeat(200 - before - 1)} ${core} ${"z ".repeat(20_000)}`
    for (const text of await shown(body, "text/plain", redactor)) {
      t.match(text, `(${body.length} bytes, cut here)`)
      t.notMatch(text, "9fK2", `${before} characters before the end`)
      t.ok(text.length > BODY_BYTES_MAX && text.length < BODY_BYTES_MAX + 1_000)
    }
  }
})

test("what is no secret is shown as it came, pieces and escapes too", async (t) => {
  const said = 'the token \u{1F600} of gpt-4-0125-preview, a task-force: \\ and "quotes" at 50% of key: C major'
  for (const [name, frame] of Object.entries(FRAMINGS)) {
    if (name.includes("tokens")) continue // A member of that name may be a secret.
    const { type, body } = frame([said.slice(0, 20), said.slice(20)])
    const [asked] = await shown(body, type, new Redactor())
    const at = asked.indexOf("\n\n") < 0 ? 0 : asked.indexOf("\n\n")
    t.equal(asked.slice(at).replace(/\s+/g, " ").trim(), body.replace(/\s+/g, " ").trim(), name)
  }
})
