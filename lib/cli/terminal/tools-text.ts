/**
 * The tools that a request offers, as a person reads them: their names, or each with its parameters and what it is for.
 * Every dialect's form is read: OpenAI's with and without `function` around it, Anthropic's, and servers' own tools, which
 * have a type alone. Pure; nothing is made harmless here.
 */
import { isObject, type JsonValue, stringOf } from "../../base/json.ts"

interface ShownTool {
  readonly name: string
  readonly description: string
  readonly parameters: readonly string[]
}

/** `get_weather, search`. */
export function toolNames(tools: readonly JsonValue[]): string {
  return tools.map((tool) => shownTool(tool).name).join(", ")
}

/** A line a tool: `get_weather(city: string, unit?: string)  The weather of a city.` */
export function toolLines(tools: readonly JsonValue[]): string {
  return tools
    .map(shownTool)
    .map(({ name, description, parameters }) => {
      const said = description.replace(/\s+/g, " ").trim()
      return `${name}(${parameters.join(", ")})${said === "" ? "" : `  ${said}`}`
    })
    .join("\n")
}

function shownTool(tool: JsonValue): ShownTool {
  const outer = isObject(tool) ? tool : {}
  const inner = isObject(outer.function) ? outer.function : outer
  const name = stringOf(inner.name) ?? stringOf(outer.type) ?? "?"
  const schema = inner.parameters ?? inner.input_schema
  return { name, description: stringOf(inner.description) ?? "", parameters: parametersOf(schema) }
}

function parametersOf(schema: JsonValue | undefined): string[] {
  if (!isObject(schema) || !isObject(schema.properties)) return []
  const required: readonly unknown[] = Array.isArray(schema.required) ? schema.required : []
  return Object.entries(schema.properties).map(([name, property]) => {
    const type = isObject(property) ? stringOf(property.type) : undefined
    return `${name}${required.includes(name) ? "" : "?"}${type === undefined ? "" : `: ${type}`}`
  })
}
