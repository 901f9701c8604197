import { test } from "tap"
import { type JsonObject, parseJson } from "../../../lib/base/json.ts"
import type { Dialect } from "../../../lib/llm/dialect.ts"
import { editAnswer } from "../../../lib/llm/edit/answer-edit.ts"
import type { EditDelta } from "../../../lib/llm/edit/pieces.ts"
import { DIALECTS, dialectNamed } from "../../../lib/llm/index.ts"
import { type Completion, type Delta, type DialectName, NO_USAGE } from "../../../lib/llm/model.ts"
import { contextFor } from "../../helpers/llm/dialect-fixtures.ts"
import { redacts } from "../../helpers/llm/edited-streams.ts"

/** Whole answers with what no delta tells. */
const BODIES: Record<string, string> = {
  "openai-chat": `{"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "reasoning_content": "why secret",
    "reasoning": "why secret", "content": "a secret", "refusal": "no secret", "annotations": [{"url": "u"}], "audio": {"id": "x"},
    "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{\\"a\\": \\"secret\\"}"}}]},
    "finish_reason": "tool_calls"}], "system_fingerprint": "fp", "service_tier": "x", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}`,
  "openai-completions": `{"choices": [{"index": 0, "text": "a secret", "logprobs": {"tokens": []}, "finish_reason": "stop"}]}`,
  "openai-responses": `{"object": "response", "status": "completed", "output": [
    {"type": "reasoning", "id": "rs_1", "encrypted_content": "e", "summary": [{"type": "summary_text", "text": "why secret"}]},
    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "a secret", "annotations": [1]},
      {"type": "refusal", "refusal": "no secret"}]},
    {"type": "function_call", "id": "fc_1", "call_id": "t", "name": "f", "arguments": "{\\"a\\": \\"secret\\"}"}]}`,
  "anthropic-messages": `{"type": "message", "container": {"id": "c"}, "content": [
    {"type": "thinking", "thinking": "why secret", "signature": "s"}, {"type": "redacted_thinking", "data": "d"},
    {"type": "text", "text": "a secret", "citations": [{"cited_text": "x"}]},
    {"type": "tool_use", "id": "t", "name": "f", "input": {"a": "secret"}, "caller": {"type": "direct"}}],
    "stop_reason": "tool_use", "stop_details": {"x": 1}, "usage": {"input_tokens": 1, "output_tokens": 2, "service_tier": "y"}}`,
  ollama: `{"model": "m", "message": {"role": "assistant", "thinking": "why secret", "content": "a secret",
    "tool_calls": [{"function": {"name": "f", "arguments": {"a": "secret"}, "index": 0}}]}, "done": true, "total_duration": 5}`,
  llamacpp: `[{"index": 0, "content": "a secret", "stop": true, "timings": {"x": 1}}, {"index": 1, "content": "secret too", "stop": true}]`,
}

function bodyOf(dialect: Dialect): string {
  return BODIES[dialect.name] ?? ""
}

function edit(dialect: Dialect, body: string, fn: EditDelta): string {
  return editAnswer(dialect, Buffer.from(body), contextFor(dialect), fn)?.toString("utf8") ?? "unreadable"
}

function completion(dialect: Dialect, text: string): Completion | undefined {
  return dialect.parseAnswer(parseJson(text) ?? null)?.completion
}

const redacted = (text: string) => text.replaceAll("secret", "***")

const redact: EditDelta = (delta) => {
  if ("text" in delta) return [{ ...delta, text: redacted(delta.text) }]
  return [delta.type === "toolCall" ? { ...delta, arguments: redacted(delta.arguments) } : delta]
}

for (const dialect of DIALECTS) {
  test(`${dialect.name}: an edit of a whole answer replaces what it edits and no other byte`, async (t) => {
    const body = bodyOf(dialect)
    const bytes = Buffer.from(body)
    t.equal(
      editAnswer(dialect, bytes, contextFor(dialect), (delta) => [delta]),
      bytes,
      "no edit, no new bytes",
    )
    // An object of arguments is one value, written anew where it changed; the rest of these bodies has a space behind each colon.
    t.equal(edit(dialect, body, redact).replaceAll('{"a":"***"}', '{"a": "***"}'), redacted(body))
    t.equal(edit(dialect, `\uFEFF${body}`, redact).replaceAll('{"a":"***"}', '{"a": "***"}'), redacted(body))
  })

  test(`${dialect.name}: text that is held back to the end of the choice goes where it was`, async (t) => {
    const held: Delta[] = []
    const holds: EditDelta = (delta) => {
      if (delta.type === "text") held.push({ ...delta, text: redacted(delta.text) })
      if (delta.type === "finish") return [...held.splice(0), delta]
      return delta.type === "text" ? [] : [delta]
    }
    const body = bodyOf(dialect)
    t.equal(completion(dialect, edit(dialect, body, holds))?.text, "a ***")
  })

  test(`${dialect.name}: what has no place in the answer is added, and other members stay`, async (t) => {
    const added: EditDelta = (delta) => {
      if (delta.type === "toolCall") return []
      return delta.type === "finish" ? [{ ...delta, reason: { unified: "length", raw: "length" } }] : redact(delta)
    }
    const text = edit(dialect, bodyOf(dialect), added)
    t.notMatch(text, "secret")
    t.match(completion(dialect, text), { text: "a ***", toolCalls: [], finishReason: { unified: "length" } })
    if (dialect.name === "openai-chat") t.match(parseJson(text), { system_fingerprint: "fp", service_tier: "x" })
  })
}

test("what is no answer is not edited, and an error stays as it came", async (t) => {
  for (const dialect of DIALECTS)
    for (const bad of ["", "secret", "[]", "7"]) t.equal(edit(dialect, bad, redact), "unreadable")
  const error: JsonObject = { error: { message: "no", code: "x" } }
  const [chat] = DIALECTS
  if (chat) t.equal(edit(chat, JSON.stringify(error), redact), JSON.stringify(error))
})

/** Answers with two calls: the body, what is left when the first is gone, and where its end and its counts stand. */
const CALLS: Record<string, { body: string; first: string; end: [string, string]; count: [string, string][] }> = {
  "openai-chat": {
    body: `{"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi", "audio": {"id": "x"}, "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}, {"id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}, "extra_content": 1}]}, "logprobs": null, "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 1}}`,
    first: `{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}, `,
    end: ['"finish_reason": "tool_calls"', '"finish_reason": "length"'],
    count: [
      ['"completion_tokens": 2', '"completion_tokens": 7'],
      ['"total_tokens": 3', '"total_tokens": 8'],
    ],
  },
  "anthropic-messages": {
    body: `{"type": "message", "container": {"id": "c"}, "content": [{"type": "thinking", "thinking": "hm", "signature": "S"}, {"type": "tool_use", "id": "t1", "name": "f", "input": {}}, {"type": "tool_use", "id": "t2", "name": "g", "input": {}, "caller": {"type": "direct"}}], "stop_reason": "tool_use", "stop_details": {"x": 1}, "usage": {"input_tokens": 1, "output_tokens": 2, "service_tier": "y"}}`,
    first: `{"type": "tool_use", "id": "t1", "name": "f", "input": {}}, `,
    end: ['"stop_reason": "tool_use"', '"stop_reason": "max_tokens"'],
    count: [['"output_tokens": 2', '"output_tokens": 7']],
  },
  "openai-responses": {
    body: `{"object": "response", "status": "completed", "incomplete_details": null, "output": [{"type": "reasoning", "id": "rs", "encrypted_content": "E", "summary": []}, {"type": "function_call", "id": "f1", "call_id": "t1", "name": "f", "arguments": "{}"}, {"type": "function_call", "id": "f2", "call_id": "t2", "name": "g", "arguments": "{}", "status": "completed"}], "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "x": 1}}`,
    first: `{"type": "function_call", "id": "f1", "call_id": "t1", "name": "f", "arguments": "{}"}, `,
    end: [
      '"status": "completed", "incomplete_details": null',
      '"status": "incomplete", "incomplete_details": {"reason":"max_output_tokens"}',
    ],
    count: [
      ['"output_tokens": 2', '"output_tokens": 7'],
      ['"total_tokens": 3', '"total_tokens": 8'],
    ],
  },
  ollama: {
    body: `{"model": "m", "message": {"role": "assistant", "content": "", "images": null, "tool_calls": [{"function": {"name": "f", "arguments": {}}}, {"id": "t2", "function": {"name": "g", "arguments": {}}}]}, "done": true, "done_reason": "stop", "prompt_eval_count": 1, "eval_count": 2, "total_duration": 5}`,
    first: `{"function": {"name": "f", "arguments": {}}}, `,
    end: ['"done_reason": "stop"', '"done_reason": "length"'],
    count: [['"eval_count": 2', '"eval_count": 7']],
  },
}

for (const dialect of DIALECTS) {
  const form = CALLS[dialect.name]
  if (form === undefined) continue
  const { body, first, end, count } = form

  test(`${dialect.name}: of a whole answer only the call goes that is dropped`, async (t) => {
    const one = edit(dialect, body, (delta) => (delta.type === "toolCall" && delta.call === 0 ? [] : [delta]))
    t.equal(one.replace("[ {", "[{"), body.replace(first, ""), "all but a space")
    const none = edit(dialect, body, (delta) => (delta.type === "toolCall" ? [] : [delta]))
    t.match(completion(dialect, none)?.toolCalls, [])
    t.notMatch(none, '"t2"')
  })

  test(`${dialect.name}: a call's name, the end and the counts of a whole answer change where they stand`, async (t) => {
    const changes: EditDelta = (delta) => {
      if (delta.type === "toolCall") return [{ ...delta, name: `my_${delta.name}` }]
      if (delta.type === "finish") return [{ ...delta, reason: { unified: "length", raw: undefined } }]
      return delta.type === "usage" ? [{ ...delta, usage: { ...delta.usage, outputTokens: 7 } }] : [delta]
    }
    let expected = body
      .replace('"name": "f"', '"name": "my_f"')
      .replace('"name": "g"', '"name": "my_g"')
      .replace(...end)
    for (const [before, after] of count) expected = expected.replace(before, after)
    t.equal(edit(dialect, body, changes), expected)
  })

  test(`${dialect.name}: what is added to a whole answer stands beside what was there`, async (t) => {
    const adds: EditDelta = (delta) => {
      if (delta.type !== "finish") return [delta]
      const added: Delta = { type: "toolCall", index: 0, call: 9, id: "t9", name: "h", arguments: '{"b":1}' }
      return [{ type: "text", index: 0, text: " wait" }, added, delta]
    }
    const text = edit(dialect, body, adds)
    t.match(completion(dialect, text), {
      text: dialect.name === "openai-chat" ? "hi wait" : " wait",
      toolCalls: [{ name: "f" }, { name: "g" }, { name: "h", arguments: '{"b":1}' }],
    })
    for (const kept of body.match(
      /"(?:caller|extra_content|encrypted_content|signature|images|audio|stop_details)": [^,}]*/g,
    ) ?? [])
      t.ok(text.includes(kept), kept)
  })
}

test("the tokens of an edited whole answer go, in every dialect that tells them", async (t) => {
  const named = (name: string) => DIALECTS.find((dialect) => dialect.name === name)
  const [chat, lines] = [named("openai-chat"), named("ollama")]
  const choice = `{"choices": [{"index": 0, "message": {"content": "a secret"}, "logprobs": {"content": [{"token": "a secret"}]}, "token_ids": [1]}]}`
  if (chat)
    t.equal(
      edit(chat, choice, redact),
      redacted(choice).replace('{"content": [{"token": "a ***"}]}', "null").replace("[1]", "[]"),
    )
  const line = `{"model": "m", "response": "a secret", "context": [1, 2], "done": true}`
  if (lines) t.equal(edit(lines, line, redact), redacted(line).replace("[1, 2]", "[]"))
})

test("Responses: the texts said once more at the top follow their edit, and a failed answer says none", (t) => {
  const dialect = dialectNamed("openai-responses")
  const message = {
    type: "message",
    id: "m",
    role: "assistant",
    content: [{ type: "output_text", text: "a secret", annotations: [] }],
  }
  const answer = {
    id: "r",
    object: "response",
    model: "m",
    status: "completed",
    output: [message],
    output_text: "a secret",
  }
  const out = (json: object) =>
    String(editAnswer(dialect, Buffer.from(JSON.stringify(json)), contextFor(dialect), redacts))
  t.match(JSON.parse(out(answer)), { output_text: "a ***", output: [{ content: [{ text: "a ***" }] }] })
  const search = { type: "web_search_call", id: "w", status: "completed" }
  const failed = {
    ...answer,
    status: "failed",
    error: { code: "server_error", message: "broke" },
    output: [message, search],
  }
  t.strictSame(JSON.parse(out(failed)), { ...failed, output: [search], output_text: "" })
  t.end()
})

test("a member of another dialect that is only named like Responses' texts stays as it is", (t) => {
  const body = { choices: [{ index: 0, message: { role: "assistant", content: "a secret" } }], output_text: "kept" }
  const dialect = dialectNamed("openai-chat")
  const out = editAnswer(dialect, Buffer.from(JSON.stringify(body)), contextFor(dialect), redacts)
  t.match(JSON.parse(String(out)), { output_text: "kept", choices: [{ message: { content: "a ***" } }] })
  t.end()
})

/** Answers without a text here or there, and what an addon adds to them. */
const ADDITIONS: Readonly<Record<string, { name: DialectName; body: string; added: Delta[]; texts: string[] }>> = {
  "a choice without a number": {
    name: "openai-chat",
    body: `{"choices": [{"message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}]}`,
    added: [{ type: "text", index: 0, text: "more" }],
    texts: ["more"],
  },
  "a choice that is not there": {
    name: "openai-chat",
    body: `{"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}`,
    added: [{ type: "text", index: 1, text: "more" }],
    texts: ["hi", "more"],
  },
  "a choice that says nothing (Azure)": {
    name: "openai-chat",
    body: `{"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}, {"index": 1, "content_filter_results": {}}]}`,
    added: [{ type: "text", index: 1, text: "more" }],
    texts: ["hi", "more"],
  },
  "a choice in the form of a chunk": {
    name: "openai-chat",
    body: `{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "stop"}]}`,
    added: [{ type: "text", index: 0, text: "more" }],
    texts: ["more"],
  },
  "a completion without a text": {
    name: "openai-completions",
    body: `{"choices": [{"index": 0, "text": "", "logprobs": null, "finish_reason": "stop"}]}`,
    added: [{ type: "text", index: 0, text: "more" }],
    texts: ["more"],
  },
  "a completion in chat's form": {
    name: "openai-completions",
    body: `{"choices": [{"index": 0, "message": {"content": ""}, "finish_reason": "stop"}]}`,
    added: [{ type: "text", index: 0, text: "more" }],
    texts: ["more"],
  },
  "one of several answers to several prompts": {
    name: "llamacpp",
    body: `[{"index": 0, "content": "", "stop": true}, {"index": 1, "content": "hi", "stop": true}]`,
    added: [
      { type: "text", index: 0, text: "more" },
      { type: "text", index: 2, text: "last" },
    ],
    texts: ["more", "hi", "last"],
  },
  "an answer to one prompt": {
    name: "llamacpp",
    body: `{"content": "", "stop": true}`,
    added: [{ type: "text", index: 0, text: "more" }],
    texts: ["more"],
  },
  "what was generated": {
    name: "ollama",
    body: `{"model": "m", "response": "", "done": true}`,
    added: [{ type: "reasoning", index: 0, text: "hm" }],
    texts: [""],
  },
}

for (const [what, { name, body, added, texts }] of Object.entries(ADDITIONS))
  test(`${name}: what is added to ${what} is read there, and nothing else changes`, async (t) => {
    const dialect = dialectNamed(name)
    let waiting = added
    const text = edit(dialect, body, (delta) => {
      const now = waiting
      waiting = []
      return [delta, ...now]
    })
    const read = completion(dialect, text)
    t.strictSame(
      read?.choices.map((choice) => choice.text),
      texts,
    )
    t.equal(read?.reasoning, added.flatMap((delta) => (delta.type === "reasoning" ? delta.text : [])).join(""))
    const compact = JSON.stringify(JSON.parse(text))
    for (const kept of JSON.stringify(JSON.parse(body)).match(/"\w+":(?:\d|true|null|"\w+")/g) ?? [])
      t.ok(compact.includes(kept), kept)
  })

test("a choice that had said nothing ends as it is told to", async (t) => {
  const chat = dialectNamed("openai-chat")
  const body = `{"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}, {"index": 1, "message": {}}]}`
  const text = edit(chat, body, (delta) =>
    delta.type === "text"
      ? [
          delta,
          { type: "text", index: 1, text: "more" },
          { type: "finish", index: 1, reason: { unified: "length", raw: "length" } },
        ]
      : [delta],
  )
  t.match(completion(chat, text)?.choices, [
    { text: "hi", finishReason: { unified: "stop" } },
    { text: "more", finishReason: { unified: "length" } },
  ])
})

test("tokens that an addon tells of stand in a whole answer that told none, in every dialect", async (t) => {
  const usage = { ...NO_USAGE, inputTokens: 3, outputTokens: 4, totalTokens: 7, source: "provider" } as const
  const tells: EditDelta = (delta) => (delta.type === "finish" ? [delta, { type: "usage", usage }] : [delta])
  const bodies: Readonly<Record<string, string[]>> = {
    "openai-chat": [
      `{"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}`,
      `{"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}], "usage": null}`,
      `{"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}], "usage": {"cost": 1}}`,
    ],
    "openai-completions": [`{"choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}]}`],
    "openai-responses": [
      `{"object": "response", "status": "completed", "output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}]}`,
    ],
    "anthropic-messages": [
      `{"type": "message", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}`,
    ],
    ollama: [`{"message": {"content": "hi"}, "done": true}`, `{"response": "hi", "done": true}`],
    llamacpp: [`{"content": "hi", "stop": true}`],
  }
  for (const dialect of DIALECTS)
    for (const body of bodies[dialect.name] ?? []) {
      const { text, usage: read } = completion(dialect, edit(dialect, body, tells)) ?? {}
      t.match({ text, ...read }, { text: "hi", inputTokens: 3, outputTokens: 4 }, `${dialect.name} ${body}`)
    }
})

test("a call whose text stands where we do not look keeps its bytes, and is written anew where it changes", async (t) => {
  const chat = dialectNamed("openai-chat")
  const body = `{"choices": [{"index": 0, "message": {"role": "assistant", "tool_calls": [{"id": "t", "function": {"name": "f"}, "custom": {"input": "a secret"}}]}, "finish_reason": "tool_calls"}], "service_tier": "x"}`
  t.equal(
    edit(chat, body, (delta) => [{ ...delta }]),
    body,
  )
  const text = edit(chat, body, redact)
  t.notMatch(text, "secret")
  t.match(completion(chat, text)?.toolCalls, [{ id: "t", name: "f", arguments: "a ***" }])
  t.match(text, '"service_tier": "x"')
})

test("of a list of answers, one that is numbered as none can be does not pass, and the others stay a list", async (t) => {
  const dialect = dialectNamed("llamacpp")
  const body = `[{"index": 0, "content": "a secret", "stop": true}, {"index": 99999, "content": "b secret", "stop": true}]`
  t.match(JSON.parse(edit(dialect, body, redact)), [{ index: 0, content: "a ***", stop: true }])
  t.notMatch(edit(dialect, body, redact), "b ")
})
