/** Tools in chat's form: `{type: "function", function: {name, description, parameters}}`, from every dialect's own. Pure. */
import { isObject, type JsonObject, type JsonValue, objectOf, stringOf } from "../base/json.ts"

/** What a tool takes that is given one text. */
const ONE_TEXT: JsonObject = { type: "object", properties: { input: { type: "string" } }, required: ["input"] }

/** The tools, or why one has no such form, in words for people. */
export function chatTools(tools: JsonValue | undefined): JsonObject[] | string {
  const written: JsonObject[] = []
  for (const tool of Array.isArray(tools) ? tools.filter(isObject) : []) {
    const found = functionOf(tool)
    if (found === undefined) return `a tool of type ${stringOf(tool.type) ?? "none"}`
    written.push({ type: "function", function: found })
  }
  return written
}

function functionOf(tool: JsonObject): JsonObject | undefined {
  const type = stringOf(tool.type)
  const inner = objectOf(tool.function)
  if (inner !== undefined) return inner
  const custom = objectOf(tool.custom) ?? (type === "custom" && tool.input_schema === undefined ? tool : undefined)
  if (custom !== undefined) return described(custom, ONE_TEXT)
  // Anthropic's own tools have a schema; its server's have a type with a date and none.
  if (tool.input_schema !== undefined) return described(tool, tool.input_schema)
  // Responses' functions, and the legacy `functions` of chat.
  if (type === "function" || (type === undefined && typeof tool.name === "string")) {
    const strict = tool.strict === undefined || tool.strict === null ? {} : { strict: tool.strict }
    return { ...described(tool, tool.parameters), ...strict }
  }
  return undefined
}

function described({ name = "", description }: JsonObject, parameters: JsonValue | undefined): JsonObject {
  return {
    name,
    ...(typeof description === "string" ? { description } : {}),
    ...(parameters === undefined || parameters === null ? {} : { parameters }),
  }
}
