/** The tools of a request, read and edited in the same words in every dialect, on their way through the program. */
import assert from "node:assert/strict"
import { type Test, test } from "tap"
import type { LlmRequest } from "../../../lib/api/flow.ts"
import type { JsonObject } from "../../../lib/base/json.ts"
import type { GivenTool, Tool } from "../../../lib/llm/model.ts"
import { addon, answer, origin, request, startHost } from "../../helpers/hosts/proxy-host.ts"

const SCHEMA = { type: "object", properties: { city: { type: "string" } } }
const CHAT = { type: "function", function: { name: "f", description: "old", parameters: SCHEMA, strict: true } }

interface Form {
  readonly path: string
  readonly body: JsonObject
  /** A function, and what the provider runs itself. */
  readonly tool: JsonObject
  readonly hosted: JsonObject
  /** A new function `g`, without a description and parameters. */
  readonly made: JsonObject
}

const MESSAGES = [{ role: "user", content: "x" }]
const FORMS: readonly Form[] = [
  {
    path: "/v1/chat/completions",
    body: { model: "m", messages: MESSAGES },
    tool: CHAT,
    hosted: { type: "custom", custom: { name: "grep", format: { type: "text" } } },
    made: { type: "function", function: { name: "g" } },
  },
  {
    path: "/api/chat",
    body: { model: "m", messages: MESSAGES },
    tool: CHAT,
    hosted: { type: "web_search" },
    made: { type: "function", function: { name: "g" } },
  },
  {
    path: "/v1/responses",
    body: { model: "m", input: "x" },
    tool: { type: "function", name: "f", description: "old", parameters: SCHEMA, strict: true },
    hosted: { type: "web_search", search_context_size: "low" },
    made: { type: "function", strict: false, name: "g", parameters: { type: "object", properties: {} } },
  },
  {
    path: "/v1/messages",
    body: { model: "m", max_tokens: 9, messages: MESSAGES },
    tool: { name: "f", description: "old", input_schema: SCHEMA, cache_control: { type: "ephemeral" } },
    hosted: { type: "web_search_20250305", name: "web_search", max_uses: 5 },
    made: { name: "g", input_schema: { type: "object", properties: {} } },
  },
]

/** What the upstream gets of a request with `tools` that an addon has edited. */
async function edited(t: Test, form: Form, tools: readonly JsonObject[], edit: (request: LlmRequest) => void) {
  const host = await startHost(t, { addons: [addon("edits", { llmRequest: (flow) => edit(flow.llm.request) })] })
  const up = await origin(t, (_, socket) => void socket.write(answer("{}")))
  const wire = await host.connect()
  // White space and a number that would not survive being written anew.
  const text = JSON.stringify({ ...form.body, tools, seed: "SEED" }).replace('"SEED"', " 1.0 ")
  wire.write(request("POST", up.port, form.path, text))
  await wire.response("POST")
  return { text, got: up.requests[0]?.body.toString() ?? "", lines: host.lines.join("\n") }
}

const shown = ({ kind, name, description, parameters }: Tool) => [kind, name, description, parameters]

test("tools are read alike in every dialect, and one that is edited changes where it stands", async (t) => {
  for (const form of FORMS) {
    let seen: unknown
    const read = await edited(t, form, [form.tool, form.hosted], ({ tools }) => {
      seen = tools?.map(shown)
      assert.deepEqual(
        tools?.map(({ raw }) => raw),
        [form.tool, form.hosted],
      )
    })
    assert.equal(read.got, read.text, `${form.path}: read alone`)
    const { name: custom } = (form.hosted.custom ?? {}) as JsonObject
    const hosted = form.hosted.name ?? custom ?? form.hosted.type
    assert.deepEqual(seen, [
      ["function", "f", "old", SCHEMA],
      ["provider", hosted, undefined, undefined],
    ])
    const { text, got } = await edited(t, form, [form.tool, form.hosted], ({ tools }) => {
      const [tool] = tools ?? []
      if (tool?.kind !== "function") return
      tool.description = "new"
      if (tool.parameters !== undefined) tool.parameters.additional = true
    })
    const expected = text.replace('"old"', '"new"').replace('"string"}}}', '"string"}},"additional":true}')
    assert.equal(got, expected, form.path)
  }
})

test("a list that is set keeps the JSON of those that were there, and writes the others in the dialect's form", async (t) => {
  for (const form of FORMS) {
    const raw = { type: "own", any: [1] }
    const { got } = await edited(t, form, [form.tool, form.hosted], (request) => {
      const [tool, hosted] = request.tools ?? []
      if (tool === undefined || hosted === undefined) return
      request.tools = [hosted, { name: "g" }, { raw }, { raw: tool.raw, name: "renamed" }, tool]
    })
    const { tools } = JSON.parse(got) as { tools: JsonObject[] }
    const renamed = JSON.parse(JSON.stringify(form.tool).replace('"f"', '"renamed"'))
    assert.deepEqual(tools, [form.hosted, form.made, raw, renamed, form.tool], form.path)
    assert.ok(got.includes(" 1.0 "))
    const none = await edited(t, form, [form.tool], (request) => {
      request.tools = undefined
    })
    assert.equal("tools" in JSON.parse(none.got), false)
  }
})

test("a function of one dialect is put into a request of another; a provider's own tool is not", async (t) => {
  for (const from of FORMS) {
    let given: readonly Tool[] = []
    await edited(t, from, [from.tool, from.hosted], ({ tools = [] }) => {
      given = tools
    })
    for (const to of FORMS) {
      const [tool, hosted] = given
      assert.ok(tool !== undefined && hosted !== undefined)
      const { got } = await edited(t, to, [], (request) => {
        request.tools = [tool]
        assert.deepEqual(request.tools?.map(shown), [["function", "f", "old", SCHEMA]])
      })
      const isSame = (from.path.includes("chat") && to.path.includes("chat")) || from === to
      const [written] = (JSON.parse(got) as { tools: JsonObject[] }).tools
      if (isSame) assert.deepEqual(written, from.tool)
      const { lines } = await edited(t, to, [], (request) => {
        request.tools = [hosted]
      })
      assert.equal(/is run by its own provider, and has no form in/.test(lines), !isSame, `${from.path} ${to.path}`)
    }
  }
})

test("what is no tool is refused at run time, with what to write, and the request leaves as it came", async (t) => {
  const wrong = (value: object) => value as GivenTool
  const [form] = FORMS
  assert.ok(form !== undefined)
  const cases: [(request: LlmRequest) => void, RegExp][] = [
    [
      (r) => void Object.assign(r, { tools: [wrong(CHAT)] }),
      /request\.tools\[0\]: "type" is no member of a tool; write \{ name, description, parameters \}, or \{ raw \}/,
    ],
    [
      (r) => void Object.assign(r, { tools: [{ name: "a" }, { name: "" }] }),
      /request\.tools\[1\]: a function has a name/,
    ],
    [
      (r) => void Object.assign(r, { tools: [{ name: "a", parameters: "x" }] }),
      /the parameters of a are a JSON Schema/,
    ],
    [(r) => void Object.assign(r, { tools: [{ name: "a", description: 5 }] }), /the description of a is no string/],
    [(r) => void Object.assign(r, { tools: ["a"] }), /request\.tools\[0\]: it is no tool/],
    [(r) => void Object.assign(r, { tools: {} }), /it is a list of tools, or undefined/],
    [(r) => void Object.assign(r, { tools: [{ raw: form.hosted, name: "x" }] }), /grep is no function; change its raw/],
    [(r) => void Reflect.apply(Array.prototype.push, r.tools, [{ name: "a" }]), /not extensible/],
    [(r) => void Object.assign(r.tools?.[0] ?? {}, { name: 5 }), /a function has a name/],
  ]
  for (const [edit, message] of cases) {
    const { text, got, lines } = await edited(t, form, [form.tool], edit)
    assert.equal(got, text)
    assert.match(lines, message)
  }
})

test("wrong tools are refused by the types", async () => {
  const check = (request: LlmRequest) => {
    // @ts-expect-error: a provider's own form goes into raw
    request.tools = [{ type: "function", function: { name: "f" } }]
    // @ts-expect-error: parameters are an object
    request.tools = [{ name: "f", parameters: "x" }]
    // @ts-expect-error: the list is set, not changed
    request.tools?.push({ name: "f" })
    const [tool] = request.tools ?? []
    // @ts-expect-error: a provider's tool is not renamed
    if (tool?.kind === "provider") tool.name = "x"
  }
  assert.equal(typeof check, "function")
})
