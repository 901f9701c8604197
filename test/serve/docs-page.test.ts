/** The page of a document that is odd: others may describe what they serve by hand. */
import { test } from "tap"
import type { JsonValue } from "../../lib/base/json.ts"
import { docsHtml } from "../../lib/serve/docs-page.ts"

const page = (paths: JsonValue, components: JsonValue = {}) => docsHtml({ paths, components }, "/docs/openapi.json")

test("what is no operation is left out, and what is missing is not made up", (t) => {
  const empty = page({ "/a": 5, "/b": { get: 7, summary: "no operation" }, "/c": { get: {} } })
  t.match(empty, "<h2>other</h2>")
  t.match(empty, "<code>/c</code>")
  for (const not of ["<code>/a</code>", "<code>/b</code>", "undefined", "null"]) t.notMatch(empty, not)
  t.notMatch(docsHtml({}, "/d"), "<h2>")
  t.end()
})

test("parameters, bodies and answers are shown with what they refer to in its place", (t) => {
  const operation = {
    tags: [7],
    summary: "<one>",
    parameters: [
      { name: "id", in: "path", required: true, description: "Which & whose" },
      { name: "q", in: "query" },
      5,
    ],
    requestBody: { content: { "application/json": { schema: { $ref: "#/components/schemas/A" } }, "text/plain": 5 } },
    responses: {
      200: { description: "Fine", content: { "application/json": { schema: [{ $ref: "#/none" }] } } },
      404: 5,
    },
  }
  const schemas = {
    A: {
      type: "object",
      properties: { self: { $ref: "#/components/schemas/A" }, b: { $ref: "#/components/schemas/B" } },
    },
    B: { const: "<b>" },
  }
  const html = page({ "/a/{id}": { post: operation } }, { schemas })
  for (const part of [
    "&#60;one&#62;",
    "Which &#38; whose",
    "query, may be left out",
    "text/plain",
    "200 Fine",
    "404",
    "&#60;b&#62;",
  ])
    t.match(html, part)
  t.notMatch(html, "<one>")
  t.match(html, "&#34;$ref&#34;", "one that leads round to itself is followed so far and no further")
  t.end()
})
