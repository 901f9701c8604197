import { test } from "tap"
import { type Demand, demandOf } from "../../../addons/requery/demand.ts"
import { embeddedSchema } from "../../../addons/requery/gpt-pilot.ts"
import { chosenGuards, GUARDS, Said } from "../../../addons/requery/guards.ts"
import { Schemas } from "../../../addons/requery/json-schema.ts"
import { isThinking, spoken } from "../../../addons/requery/spoken.ts"
import type { Completion, LlmRequest } from "../../../lib/api/flow.ts"

const NO_DEMAND: Demand = {
  json: false,
  schema: undefined,
  keys: [],
  lists: [],
  call: undefined,
  questions: [],
}
const schemas = new Schemas()

function said(text: string, more: Partial<Completion> = {}, demand: Partial<Demand> = {}): Said {
  const finishReason = { unified: "stop", raw: "stop" } as const
  const completion = { text, reasoning: "", toolCalls: [] as const, finishReason, ...more } as unknown as Completion // what guards read of one
  return new Said(completion, { ...NO_DEMAND, ...demand }, schemas)
}

function judged(name: string, one: Said): string | undefined {
  return GUARDS.find((guard) => guard.name === name)?.test(one)
}

test("an answer without a word is empty; a filtered one and thoughts that were cut are not", (t) => {
  t.match(judged("empty", said(" \n")), /empty/)
  t.match(judged("empty", said("<think>Hm.</think>\n")), /empty/)
  t.match(judged("empty", said("", { reasoning: "Hm." })), /empty/)
  t.notOk(judged("empty", said("", { finishReason: { unified: "contentFilter", raw: "content_filter" } })))
  const cut = { finishReason: { unified: "length", raw: "length" } } as const
  t.notOk(judged("empty", said("", { ...cut, reasoning: "Hm" })))
  t.notOk(judged("empty", said("<think>Hm", cut)))
  t.match(judged("empty", said("", cut)), /empty/, "nothing at all was no thought")
  t.notOk(judged("empty", said("Yes.")))
  t.end()
})

test("JSON that parses is never taken for a loop, in a fence or not; what is not JSON as a whole is judged", (t) => {
  const json = JSON.stringify({ text: "I will now write the file. ".repeat(900), rows: Array(3_000).fill(null) })
  for (const text of [json, `\`\`\`json\n${json}\n\`\`\``, `<think>Hm.</think>${json}`]) {
    t.notOk(judged("runaway", said(text)))
    t.notOk(judged("runaway", said(text, { finishReason: { unified: "length", raw: "length" } })))
  }
  t.ok(judged("runaway", said(json.slice(0, 4_000))))
  t.ok(judged("runaway", said("I will now write the file. ".repeat(90))))
  t.end()
})

test("a list is empty at the top level alone, by the form's key, where the form does not allow it", (t) => {
  const plan = { keys: ["plan"], json: true }
  t.match(judged("empty-plan", said('{"plan": []}', {}, plan)), /"plan" is empty/)
  t.notOk(judged("empty-plan", said('{"plan": [{"tasks": [], "plan": []}]}', {}, plan)))
  t.notOk(judged("empty-plan", said('{"inner": {"plan": []}}', {}, plan)))
  t.notOk(judged("empty-plan", said('{"plan": [], "updated_current_task": {}}', {}, plan)))
  t.notOk(judged("empty-plan", said('[{"plan": []}]', {}, plan)))
  t.notOk(judged("empty-plan", said("no JSON", {}, plan)), "that is the json guard's to say")
  const armed = (name: string, lists: string[]) =>
    GUARDS.find((guard) => guard.name === name)?.armed({ ...NO_DEMAND, lists }) === true
  t.ok(armed("empty-tasks", ["tasks"]))
  t.notOk(armed("empty-tasks", ["plan"]))
  t.end()
})

test("a form is read from the last user message, as GPT Pilot writes it, and nothing else is taken for one", (t) => {
  const fence = (json: string) => `Here is the schema for the expected JSON object:\n\`\`\`json\n${json}\n\`\`\`\n`
  t.match(embeddedSchema(fence('{"plan": {"type": "array"}}')), { type: "object", properties: { plan: {} } })
  t.match(embeddedSchema(fence('{"type": "object", "properties": {"a": {}}, "required": ["a"]}')), { required: ["a"] })
  for (const text of [
    fence("{"),
    fence("[]"),
    fence("{}"),
    fence('{"a": 1}'),
    '```json\n{"plan": {}}\n```',
    "expected",
  ])
    t.equal(embeddedSchema(text), undefined, text)
  t.equal(embeddedSchema(fence(`{"a": {"d": "${"x".repeat(100_000)}"}}`)), undefined, "of any size is not read")
  t.end()
})

test("a response_format is a demand, and requests that guards must not look at are none", (t) => {
  const request = (body: object, n = 1) =>
    ({ body, n, messages: [{ role: "user", content: "x" }] }) as unknown as LlmRequest
  t.match(demandOf(request({ response_format: { type: "json_object" } })), { json: true, schema: undefined })
  const schema = { type: "object", properties: { plan: {} } }
  t.match(demandOf(request({ response_format: { type: "json_schema", json_schema: { schema } } })), { keys: ["plan"] })
  t.match(demandOf(request({ response_format: { type: "json_schema", schema } })), { keys: ["plan"] })
  t.match(demandOf(request({ response_format: { type: "json_schema" } })), { json: true, keys: [] })
  t.match(demandOf(request({ response_format: { type: "text" } })), { json: false })
  for (const body of [{ logprobs: true }, { store: true }, { previous_response_id: "r" }, { audio: {} }])
    t.equal(demandOf(request(body)), undefined, JSON.stringify(body))
  t.equal(demandOf(request({}, 2)), undefined)
  t.end()
})

test("thoughts end with their mark, also where the host swallowed the first one", (t) => {
  const cases: [string, string][] = [
    ["<think>a</think>b", "b"],
    ["<thinking>a</thinking>b", "b"],
    ["a\n</think>b", "b"],
    ["Write </think> at the end.", "Write </think> at the end."],
    ["Of <think>a\n</think>b", "Of <think>a\n</think>b"],
    ["<think>a", ""],
    ["b", "b"],
  ]
  for (const [text, left] of cases) t.equal(spoken(text), left, text)
  t.strictSame([isThinking("<think>a"), isThinking("<think>a</think>"), isThinking("a")], [true, false, false])
  t.end()
})

test("guards are chosen by name, with a mode and attempts of their own, and judge in their own order", (t) => {
  const chosen = chosenGuards({ guards: ["json=guard:1", "runaway", "empty=observe:9"], mode: undefined, attempts: 3 })
  t.strictSame(
    chosen.map(({ guard, mode, attempts }) => [guard.name, mode, attempts]),
    [
      ["runaway", "hold", 3],
      ["empty", "observe", 3],
      ["json", "guard", 1],
    ],
  )
  t.equal(chosenGuards({ guards: ["json=hold"], mode: "observe", attempts: 3 })[0]?.mode, "observe")
  t.end()
})

test("an example of JSON that prose asks for says which lists must not be empty, and nothing else", (t) => {
  const demand = (content: string) => {
    const request = { body: {}, n: 1, messages: [{ role: "user", content }] } as unknown as LlmRequest
    return demandOf(request)
  }
  const plan = '{"plan": [{"description": "..."}]}'
  const asking: [string, string[]][] = [
    [`Respond as JSON of the form ${plan}.`, ["plan"]],
    [`Plan it.\n\nAnswer with JSON:\n\`\`\`json\n${plan}\n\`\`\``, ["plan"]],
    ['Return JSON like {plan: [{description: "a step"}, ...]} and no more', ["plan"]],
    ['Your output is a JSON object: {"tasks": [{"type": "command", "command": "ls"}, \u2026]}', ["tasks"]],
    [`Here is the JSON that we have: ${plan} Shorten it.`, []],
    ['Respond as JSON of the form {"plan": []}', []],
    ['Respond as JSON of the form {"plan": ["first", "second"]}', []],
    ['Respond as JSON of the form {"missing_data": [], "plan": [{"description": "x"}]}', []],
    ["Respond as JSON.", []],
    ['Respond as JSON of the form {"plan": [{"description": "x"}', []],
    [`Respond as JSON. ${"Be brief. ".repeat(30)}${plan}`, []],
  ]
  for (const [content, lists] of asking)
    t.match(demand(content), { json: false, schema: undefined, keys: [], lists }, content)
  t.end()
})
