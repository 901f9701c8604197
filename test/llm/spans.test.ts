import fc from "fast-check"
import { test } from "tap"
import { isObject, type JsonObject, type JsonValue } from "../../lib/base/json.ts"
import {
  deepCopy,
  deepEqual,
  EDIT_DEPTH_MAX,
  editJson,
  elementSpans,
  isDeeperThan,
  memberSpans,
} from "../../lib/llm/spans.ts"

function parse(source: string): JsonObject {
  return JSON.parse(source)
}

/** The text that `source` becomes by `change`. */
function edited(source: string, change: (current: JsonObject) => void): string {
  const current = parse(source)
  change(current)
  return editJson(source, parse(source), current)
}

const CHAT = `{
  "model" : "gpt-4o",
  "temperature": 1.0,
  "seed": 12345678901234567890,
  "messages": [
    {"role": "system", "content": "caf\\u00e9"},
    { "content":"Hi" , "role":"user" }
  ]
}
`

test("nothing changed: the text itself", async (t) => {
  t.equal(
    edited(CHAT, () => {}),
    CHAT,
  )
})

test("a changed value is replaced, and nothing else", async (t) => {
  t.equal(
    edited(CHAT, (body) => {
      body.model = "local"
    }),
    CHAT.replace('"gpt-4o"', '"local"'),
  )
})

test("a value deep inside is replaced, and nothing else", async (t) => {
  t.equal(
    edited(CHAT, (body) => {
      Object.assign(objectAt(body.messages, 1), { content: "Bye" })
    }),
    CHAT.replace('"Hi"', '"Bye"'),
  )
})

test("an added member stands as the last one does; a removed one is cut with its comma", async (t) => {
  t.equal(
    edited('{\n  "a": 1\n}', (body) => {
      body.b = [2]
    }),
    '{\n  "a": 1,\n  "b": [2]\n}',
  )
  t.equal(
    edited('{"a":1}', (body) => {
      body.b = null
    }),
    '{"a":1,"b":null}',
  )
  t.equal(
    edited('{ "a" : 1 , "b" : 2 }', (body) => {
      delete body.b
    }),
    '{ "a" : 1  }',
  )
  t.equal(
    edited('{ "a" : 1 , "b" : 2 }', (body) => {
      body.a = undefined
    }),
    '{ "b" : 2 }',
  )
  t.equal(
    edited("{ }", (body) => {
      body.a = 1
    }),
    '{"a":1}',
  )
})

test("an inserted message serialises no other again", async (t) => {
  const text = edited(CHAT, (body) => {
    if (Array.isArray(body.messages)) body.messages.unshift({ role: "system", content: "New." })
  })
  t.ok(text.includes('{"role": "system", "content": "caf\\u00e9"},\n    { "content":"Hi" , "role":"user" }\n  ]'))
  t.ok(text.includes('"messages": [\n    {"role":"system","content":"New."},\n    {"role": "system"'))
})

test("messages that stay keep their text when others go and come around them", async (t) => {
  const source = '{"messages":[{"n": 1},{"n": 2},{"n": 3},{"n": 4},{"n": 5}]}'
  const without = edited(source, (body) => {
    if (Array.isArray(body.messages)) body.messages.splice(1, 2)
  })
  t.equal(without, '{"messages":[{"n": 1},{"n": 4},{"n": 5}]}')
  const moved = edited(source, (body) => {
    body.messages = [{ n: 0 }, { n: 3 }, { n: 2 }, { n: 9 }]
  })
  t.equal(moved, '{"messages":[{"n":0},{"n": 3},{"n": 2},{"n":9}]}')
  const alike = edited('{"messages":[{"n": 1},{ "n":1},{"n":1 }]}', (body) => {
    if (Array.isArray(body.messages)) body.messages.unshift({ n: 0 })
  })
  t.equal(alike, '{"messages":[{"n":0},{"n": 1},{ "n":1},{"n":1 }]}')
})

test("messages that are changed in their places keep the text of what is in them", async (t) => {
  const source = '{"messages":[{"n": 1},{"n": 2, "m" : 2},{ "n" : 3 },{"n": 4}]}'
  const text = edited(source, (body) => {
    body.messages = [{ n: 1 }, { n: 5, m: 2 }, { n: 1 }, { n: 4 }]
  })
  t.equal(text, '{"messages":[{"n": 1},{"n": 5, "m" : 2},{ "n" : 1 },{"n": 4}]}')
})

test("the same content in new objects is no change", async (t) => {
  t.equal(
    edited(CHAT, (body) => Object.assign(body, structuredClone(body))),
    CHAT,
  )
})

test("of a repeated name the last one counts; once changed, the stale ones go", async (t) => {
  const source = '{"a":1, "b":2, "\\u0061":3}'
  t.equal(
    edited(source, (body) => {
      body.b = 0
    }),
    '{"a":1, "b":0, "\\u0061":3}',
  )
  t.equal(
    edited(source, (body) => {
      body.a = 0
    }),
    '{ "b":2, "\\u0061":0}',
  )
  t.equal(
    edited(source, (body) => {
      delete body.a
    }),
    '{ "b":2}',
  )
})

test("__proto__ is a member like any other", async (t) => {
  const source = '{"__proto__": {"a": 1}, "b": 2}'
  t.equal(
    edited(source, (body) => {
      body.b = 3
    }),
    '{"__proto__": {"a": 1}, "b": 3}',
  )
  t.equal(editJson(source, parse(source), { b: 2 }), '{ "b": 2}')
  t.equal(deepEqual(parse(source), deepCopy(parse(source))), true)
  t.equal(deepEqual(parse(source), { b: 2 }), false)
})

test("strings full of quotes, backslashes and brackets are skipped whole", async (t) => {
  const source = String.raw`{"a\"}": "]}\\", "b": ["\\\"", "{[", 1e5 , true], "c": "x"}`
  t.equal(
    edited(source, (body) => {
      body.c = 1
    }),
    source.replace('"x"', "1"),
  )
})

test("what JSON cannot say is left out of an object and null in an array", async (t) => {
  const source = '{"a":1,"b":[1,2],"d":[1],"e":[1]}'
  const current = parse(source)
  Object.assign(current, { a: () => 1, b: [() => 1, 2], c: () => 1, d: [() => 1, 1], e: [1, undefined] })
  t.equal(editJson(source, parse(source), current), '{"b":[null,2],"d":[null,1],"e":[1,null]}')
})

test("a text that is not the original's is not trusted: the value is serialised", async (t) => {
  for (const source of ["", "[1]", "{", '{"a"}', '{"a":1', '{"a":1]', '{"a":1;', "{1:2}", '{1" : 2 }', '{"a":"x']) {
    t.equal(editJson(source, { a: 1 }, { a: 2 }), '{"a":2}', source)
  }
  t.equal(editJson('{"a":[1,2,3]}', { a: [1] }, { a: [2] }), '{"a":[2]}')
})

test("100,000 nested brackets end nothing", async (t) => {
  const deep = "[".repeat(100_000) + "]".repeat(100_000)
  const source = `{"deep": ${deep}, "a": 1}`
  const text = edited(source, (body) => {
    body.a = 2
  })
  t.ok(text === `{"deep": ${deep}, "a": 2}`)
  t.equal(deepEqual(deepCopy(parse(source)), parse(source)), true)
})

test("a change below the depth limit is written, too", async (t) => {
  const levels = EDIT_DEPTH_MAX + 5
  const source = `${'{"a": '.repeat(levels)}1${"}".repeat(levels)}`
  const text = edited(source, (body) => {
    let inner: JsonObject = body
    while (isObject(inner.a)) inner = inner.a
    inner.a = 2
  })
  const [kept, written] = ['{"a": '.repeat(EDIT_DEPTH_MAX), '{"a":'.repeat(levels - EDIT_DEPTH_MAX)]
  t.equal(text, `${kept}${written}2${"}".repeat(levels)}`)
})

test("depth is counted by brackets outside strings", async (t) => {
  t.equal(isDeeperThan('{"a":[["[[[["]]}', 3), false)
  t.equal(isDeeperThan('{"a":[["[[[["]]}', 2), true)
  t.equal(isDeeperThan("[] [] []", 1), false)
})

test("spans are where the members and elements stand", async (t) => {
  const source = ' { "a" : [ 1 , 2 ] } '
  t.strictSame(memberSpans(source, 1), [{ start: 2, key: "a", bodyStart: 3, valueStart: 9, valueEnd: 18, end: 19 }])
  t.strictSame(elementSpans(source, 9), [
    { start: 10, key: "", bodyStart: 11, valueStart: 11, valueEnd: 12, end: 13 },
    { start: 14, key: "", bodyStart: 15, valueStart: 15, valueEnd: 16, end: 17 },
  ])
  t.equal(memberSpans(source, 0), undefined)
  t.strictSame(elementSpans("[ ]", 0), [])
})

test("equal as JSON: order of members does not count, undefined is absent", async (t) => {
  t.equal(deepEqual({ a: 1, b: undefined }, { a: 1 }), true)
  t.equal(deepEqual({ a: 1, b: 2 }, { b: 2, a: 1 }), true)
  for (const [a, b] of [
    [{ a: 1 }, { a: 1, b: 2 }],
    [{ a: 1, b: 2 }, { a: 1 }],
    [{ a: 1 }, { b: 1 }],
    [[1], [1, 2]],
    [[1], { 0: 1 }],
    [null, {}],
    ["1", 1],
  ] as JsonValue[][]) {
    t.equal(deepEqual(a, b), false, JSON.stringify([a, b]))
  }
})

test("a copy shares no object with what it was made of, and can be changed", async (t) => {
  const source = '{"list":[{"a":null}],"b":{"c":1}}'
  const value = parse(source)
  const copy = deepCopy(value)
  t.strictSame(copy, value)
  objectAt(copy.list, 0).a = 1
  if (Array.isArray(copy.list)) copy.list.push(2)
  t.strictSame(copy.list, [{ a: 1 }, 2])
  copy.list = null
  delete copy.b
  t.strictSame(copy, { list: null })
  t.strictSame(value, parse(source))
})

// Values of all kinds; strings that need escapes; names that repeat between documents, "__proto__" among them.
const name = fc.oneof(
  fc.constantFrom("a", "b", "model", "messages", "__proto__", 'q"\\'),
  fc.string({ unit: "binary" }),
)
const json = fc.letrec<{ value: JsonValue; members: JsonObject }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom<JsonValue>(null, true, 0, -0.5, 1e21, ""),
    fc.string({ unit: "binary" }),
    fc.array(tie("value"), { maxLength: 4 }),
    tie("members"),
  ),
  members: fc
    .array(fc.tuple(name, tie("value")), { maxLength: 5 })
    .map((entries) =>
      JSON.parse(`{${entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)}}`),
    ),
}))

/** A JSON text of `value` with white space everywhere, chosen by the bits of `seed`. */
function withSpace(value: JsonValue, seed: number): string {
  let bits = seed
  const space = (): string => {
    bits = (bits * 1_103_515_245 + 12_345) & 0x7fffffff
    return ["", "", " ", "\n  ", "\t\r\n"][bits % 5] ?? ""
  }
  const write = (part: JsonValue | undefined): string => {
    if (Array.isArray(part)) return `[${part.map((element) => space() + write(element) + space()).join(",")}]`
    if (!isObject(part)) return JSON.stringify(part)
    const members = Object.entries(part).map(([key, member]) => {
      return `${space()}${JSON.stringify(key)}${space()}:${space()}${write(member)}${space()}`
    })
    return `{${members.join(",")}}`
  }
  return space() + write(value) + space()
}

test("any edit of any text parses to the current value, and unchanged members keep their source text", async (t) => {
  const property = fc.property(json.members, json.members, fc.nat(), fc.boolean(), (original, other, seed, mixed) => {
    const source = withSpace(original, seed)
    const current = mixed ? mix(parse(source), other, seed) : other
    const text = editJson(source, parse(source), current)
    if (!deepEqual(parse(text), current)) return false
    if (deepEqual(original, current)) return text === source
    return (memberSpans(source, source.indexOf("{")) ?? []).every((span) => {
      const kept = Object.hasOwn(current, span.key) && deepEqual(current[span.key], original[span.key])
      return !kept || text.includes(source.slice(span.bodyStart, span.valueEnd))
    })
  })
  fc.assert(property, { numRuns: 3_000 })
  t.pass()
})

test("any insertion, removal or exchange in a list keeps the text of the other elements", async (t) => {
  const list = fc.array(json.value, { maxLength: 8 })
  const property = fc.property(list, list, fc.nat(9), fc.nat(9), fc.nat(), (original, inserted, at, count, seed) => {
    const source = withSpace({ messages: original }, seed)
    const current = parse(source)
    if (Array.isArray(current.messages)) current.messages.splice(at, count, ...inserted)
    const text = editJson(source, parse(source), current)
    const spans = elementSpans(source, source.indexOf("[")) ?? []
    const texts = spans.map((span) => source.slice(span.valueStart, span.valueEnd))
    texts.splice(at, count)
    return deepEqual(parse(text), current) && texts.every((element) => text.includes(element))
  })
  fc.assert(property, { numRuns: 2_000 })
  t.pass()
})

/** `base` with some members of `other` put in and some of its own removed or changed inside. */
function mix(base: JsonObject, other: JsonObject, seed: number): JsonObject {
  for (const [at, key] of Object.keys(base).entries()) {
    const value = base[key]
    if ((seed >> at) % 3 === 0) delete base[key]
    else if ((seed >> at) % 3 === 1 && Array.isArray(value)) value.push("new")
  }
  for (const [key, value] of Object.entries(other)) {
    Object.defineProperty(base, key, { value, writable: true, enumerable: true, configurable: true })
  }
  return base
}

function objectAt(list: JsonValue | undefined, at: number): JsonObject {
  const value = Array.isArray(list) ? list[at] : undefined
  if (!isObject(value)) throw new Error(`no object at ${at}`)
  return value
}
