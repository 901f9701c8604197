/**
 * `llmproxy models import FILE`: another gateway's config file as ours, printed; nothing is written, asked or fetched for it.
 * `llmproxy models get URL` fetches a model's file, for the addon local-model.
 */
import { open } from "node:fs/promises"
import { type AddonContext, type CommandContext, type JsonValue, type OptionSpecs, UsageError } from "llmproxy"
import { getModel } from "./get.ts"
import { fromLiteLlm } from "./import/litellm.ts"

/** Bytes of a config file. */
const FILE_BYTES_MAX = 4_194_304
const HOW =
  "llmproxy models: write llmproxy models import FILE, with LiteLLM's config.yaml, or llmproxy models get URL, with a .gguf file's address"

const FLAGS = {
  folder: { type: "string", default: "models", help: "Of get: where the file is put." },
  name: { type: "string", help: "Of get: what the file is called; default: as in the address." },
  sha256: { type: "string", help: "Of get: what the file's SHA-256 has to be, in hexadecimal." },
} as const satisfies OptionSpecs

export function declareCommand({ command }: Pick<AddonContext, "command">): void {
  command({
    name: "models",
    help: "print LiteLLM's config.yaml as llmproxy's upstreams and routes, or fetch a model's file",
    options: FLAGS,
    operands: "import FILE | get URL",
    run,
  })
}

async function run(context: CommandContext<typeof FLAGS>): Promise<number> {
  const { operands, flags, print, note } = context
  const [verb, file, ...others] = operands
  if (verb === "get" && file !== undefined && others.length === 0) return getModel(file, flags, context)
  if (verb !== "import" || file === undefined || others.length > 0) throw new UsageError(HOW)
  const { stringify } = await import("yaml")
  const { upstreams, routes, notes } = fromLiteLlm(await configIn(file))
  if (routes.length > 0) print(stringify({ models: { upstreams, routes } }, { lineWidth: 0 }))
  for (const text of notes) note(`${text}\n`)
  return routes.length > 0 ? 0 : 1
}

async function configIn(file: string): Promise<JsonValue> {
  const text = await textIn(file)
  const { parse } = await import("yaml")
  try {
    // What YAML holds beside JSON (dates, binaries) becomes text.
    return JSON.parse(JSON.stringify(parse(text) ?? null))
  } catch (thrown) {
    // The parser draws the line, in which a key may stand.
    const [said = ""] = thrown instanceof Error ? thrown.message.split("\n") : []
    throw new UsageError(`${file}: is no YAML: ${said}`)
  }
}

async function textIn(file: string): Promise<string> {
  const opened = await open(file).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${file}: cannot be read (${error.code ?? error.message})`)
  })
  try {
    const { size } = await opened.stat()
    if (size > FILE_BYTES_MAX)
      throw new UsageError(`${file}: is longer than ${FILE_BYTES_MAX} bytes, which no config file is`)
    return await opened.readFile("utf8")
  } catch (thrown) {
    if (thrown instanceof UsageError) throw thrown
    throw new UsageError(`${file}: cannot be read (${String(thrown)})`)
  } finally {
    await opened.close()
  }
}
