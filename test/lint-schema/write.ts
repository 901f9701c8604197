/**
 * Writes addons/models/lint/openai-schema.ts: what OpenAI's published API takes in three calls, reduced to the names of the
 * top-level fields, their JSON types, and the values of those that have a closed list. It is read from the types of the `openai`
 * package, which are generated from the published OpenAPI document. `npm run lint-schema` after an update of that package.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import ts from "typescript"

const ROOT = join(import.meta.dirname, "..", "..")
const PACKAGE = join(ROOT, "node_modules", "openai")
const OUT = join(ROOT, "addons", "models", "lint", "openai-schema.ts")
const CALLS = [
  {
    path: "/v1/chat/completions",
    file: "resources/chat/completions/completions.d.ts",
    type: "ChatCompletionCreateParamsBase",
  },
  { path: "/v1/embeddings", file: "resources/embeddings.d.ts", type: "EmbeddingCreateParams" },
  { path: "/v1/responses", file: "resources/responses/responses.d.ts", type: "ResponseCreateParamsBase" },
]

interface Field {
  readonly types: readonly string[]
  readonly values?: readonly string[]
  readonly required?: true
}

/** The fields of each call, by its path. */
export function schemaOf(): Record<string, Record<string, Field>> {
  const files = CALLS.map(({ file }) => join(PACKAGE, file))
  const program = ts.createProgram(files, {
    strict: true,
    skipLibCheck: true,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
  })
  const checker = program.getTypeChecker()
  return Object.fromEntries(
    CALLS.map(({ path, file, type }) => {
      const source = program.getSourceFile(join(PACKAGE, file))
      const declared = source?.statements.find((one) => ts.isInterfaceDeclaration(one) && one.name.text === type)
      if (declared === undefined) throw new Error(`${file}: there is no ${type}`)
      const properties = checker.getTypeAtLocation(declared).getProperties()
      const fields = properties.map((property): [string, Field] => {
        const isOptional = (property.flags & ts.SymbolFlags.Optional) !== 0
        return [property.name, fieldOf(checker, checker.getTypeOfSymbolAtLocation(property, declared), isOptional)]
      })
      return [path, Object.fromEntries(fields.sort(([one], [other]) => (one < other ? -1 : 1)))]
    }),
  )
}

function fieldOf(checker: ts.TypeChecker, type: ts.Type, isOptional: boolean): Field {
  const parts = (type.isUnion() ? type.types : [type]).filter(({ flags }) => (flags & ts.TypeFlags.Undefined) === 0)
  const types = [...new Set(parts.map((part) => jsonTypeOf(checker, part)))].sort()
  const texts = parts.filter(({ flags }) => (flags & ts.TypeFlags.StringLike) !== 0)
  // Where any other text is taken as well, what is listed are examples.
  const isClosed =
    texts.length > 0 && parts.every((part) => part.isStringLiteral() || jsonTypeOf(checker, part) !== "string")
  const values = texts.flatMap((part) => (part.isStringLiteral() ? [part.value] : [])).sort()
  return { types, ...(isClosed ? { values } : {}), ...(isOptional ? {} : { required: true }) }
}

function jsonTypeOf(checker: ts.TypeChecker, type: ts.Type): string {
  if ((type.flags & ts.TypeFlags.Null) !== 0) return "null"
  if ((type.flags & ts.TypeFlags.StringLike) !== 0) return "string"
  if ((type.flags & ts.TypeFlags.NumberLike) !== 0) return "number"
  if ((type.flags & ts.TypeFlags.BooleanLike) !== 0) return "boolean"
  // `string & {}`: any other text.
  if (type.isIntersection() && type.types.some(({ flags }) => (flags & ts.TypeFlags.String) !== 0)) return "string"
  return checker.isArrayType(type) || checker.isTupleType(type) ? "array" : "object"
}

/** The file's text. `date`: as in "2026-11-30". */
function fileText(date: string): string {
  const { version }: { version: string } = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8"))
  const lines = Object.entries(schemaOf()).flatMap(([path, fields]) => [
    `  ${JSON.stringify(path)}: {`,
    ...Object.entries(fields).map(
      ([name, field]) => `    ${name}: ${JSON.stringify(field).replace(/"(types|values|required)":/g, " $1: ")},`,
    ),
    "  },",
  ])
  return `/**
 * What OpenAI's API takes in three calls: names, JSON types and closed lists of values, from openai ${version} on npm, ${date}.
 * Written by test/lint-schema/write.ts.
 */
import type { Schema } from "./lint.ts"

export const OPENAI_DATE = "${date}"

export const OPENAI_SCHEMA: Schema = {
${lines.join("\n")}
}
`
}

if (process.argv[1] === import.meta.filename) writeFileSync(OUT, fileText(new Date().toISOString().slice(0, 10)))
