/** The page of `GET /docs`: HTML of an OpenAPI document, without scripts, with its own style by its hash and nothing else. Pure. */
import { createHash } from "node:crypto"
import { isObject, type JsonObject, type JsonValue } from "../base/json.ts"

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options"]

const STYLE = `
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--text:#1b1f24;--dim:#5d6673;--line:#dfe3e8;--code:#f0f2f5;--link:#0b5cad}
@media (prefers-color-scheme:dark){:root{--bg:#12151a;--card:#1b2027;--text:#e8ebef;--dim:#9aa5b1;--line:#303843;--code:#12161c;--link:#7ab8ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:52rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.5rem;margin:.25rem 0 .5rem}h2{font-size:1.1rem;margin:1.6rem 0 .6rem}h3{font-size:.9rem;margin:.9rem 0 .2rem;color:var(--dim)}
a{color:var(--link)}p{margin:.4rem 0}.dim{color:var(--dim)}
details{background:var(--card);border:1px solid var(--line);border-radius:10px;margin:0 0 .6rem;padding:0 1rem}
details[open]{padding-bottom:1rem}
summary{cursor:pointer;padding:.7rem 0;overflow-wrap:anywhere}
summary b{display:inline-block;min-width:4.2rem;font:700 .8rem/1 ui-monospace,Menlo,Consolas,monospace}
code,pre{font:.84rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--code);border:1px solid var(--line);border-radius:8px;margin:.3rem 0;padding:.6rem .75rem;overflow-x:auto}
`

/** For Content-Security-Policy (W3C CSP Level 3). */
export const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ")

interface Operation {
  readonly method: string
  readonly path: string
  readonly tag: string
  readonly told: JsonObject
}

/** `documentPath`: where the same is for programs. */
export function docsHtml(document: JsonObject, documentPath: string): string {
  const operations = operationsOf(document)
  const tags = [...new Set(operations.map(({ tag }) => tag))].sort()
  const sections = tags.map((tag) => {
    const own = operations.filter((one) => one.tag === tag)
    return `<h2>${escaped(tag)}</h2>${own.map((one) => operationHtml(one, document)).join("")}`
  })
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>llmproxy: what is served here</title><style>${STYLE}</style></head>
<body><main><h1>What is served here</h1>
<p class="dim">Beside these, whatever the models' own APIs have is passed on to them. For programs: <a href="${documentPath}">OpenAPI 3.1</a>.</p>
${sections.join("\n")}</main></body></html>
`
}

function operationsOf({ paths }: JsonObject): Operation[] {
  if (!isObject(paths)) return []
  return Object.entries(paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const told = isObject(item) ? item[method] : undefined
      if (!isObject(told)) return []
      const [tag] = Array.isArray(told.tags) ? told.tags : []
      return [{ method, path, tag: typeof tag === "string" ? tag : "other", told }]
    }),
  )
}

function operationHtml({ method, path, told }: Operation, document: JsonObject): string {
  const { summary, description, parameters, requestBody, responses } = told
  const parts = [
    text(description),
    parametersHtml(parameters),
    bodyHtml("Request", requestBody, document),
    ...Object.entries(isObject(responses) ? responses : {}).map(([status, response]) =>
      bodyHtml(`${status} ${isObject(response) ? String(response.description ?? "") : ""}`, response, document),
    ),
  ]
  const line = `<b>${method.toUpperCase()}</b> <code>${escaped(path)}</code> ${escaped(String(summary ?? ""))}`
  return `<details><summary>${line}</summary>${parts.join("")}</details>`
}

function text(value: JsonValue | undefined): string {
  return typeof value === "string" ? `<p>${escaped(value)}</p>` : ""
}

function parametersHtml(parameters: JsonValue | undefined): string {
  const all = Array.isArray(parameters) ? parameters.filter(isObject) : []
  if (all.length === 0) return ""
  const lines = all.map(({ name, in: place, required, description }) => {
    const need = required === true ? "" : ", may be left out"
    const told = typeof description === "string" ? `: ${escaped(description)}` : ""
    return `<p><code>${escaped(String(name))}</code> <span class="dim">(${escaped(String(place))}${need})</span>${told}</p>`
  })
  return `<h3>Parameters</h3>${lines.join("")}`
}

function bodyHtml(title: string, body: JsonValue | undefined, document: JsonObject): string {
  const content = isObject(body) && isObject(body.content) ? Object.entries(body.content) : []
  const shown = content.map(([type, media]) => {
    const schema = isObject(media) ? media.schema : undefined
    const json = JSON.stringify(resolved(schema, document, 0), undefined, 2) ?? ""
    return `<p class="dim">${escaped(type)}</p>${json === "" ? "" : `<pre>${escaped(json)}</pre>`}`
  })
  return title === "Request" && shown.length === 0 ? "" : `<h3>${escaped(title.trim())}</h3>${shown.join("")}`
}

/** Nesting of references that is followed. */
const DEPTH_MAX = 8

/** A schema with what it refers to in its place, so that one need not look it up. */
function resolved(schema: JsonValue | undefined, document: JsonObject, depth: number): JsonValue | undefined {
  if (Array.isArray(schema)) return schema.map((one) => resolved(one, document, depth) ?? null)
  if (!isObject(schema)) return schema
  const { $ref: reference } = schema
  if (typeof reference === "string" && depth < DEPTH_MAX)
    return resolved(foundAt(reference, document), document, depth + 1)
  return Object.fromEntries(
    Object.entries(schema).map(([name, value]) => [name, resolved(value, document, depth) ?? null]),
  )
}

function foundAt(reference: string, document: JsonObject): JsonValue | undefined {
  let at: JsonValue | undefined = document
  for (const name of reference.replace(/^#\//, "").split("/")) at = isObject(at) ? at[name] : undefined
  return at
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}
