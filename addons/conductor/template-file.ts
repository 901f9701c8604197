/**
 * A prompt format that is a file of the user's, in Jinja. What is wrong with it is told when the option is set and not
 * with the first chat: the file is read, compiled, and given a message as a trial. Messages name the option.
 */
import { readFile, stat } from "node:fs/promises"
import { isObject, type Message } from "llmproxy"
import { type ChatTemplate, jinjaTemplate, TEMPLATES } from "llmproxy/templates"

/** Models' own templates have some 10 kB. */
const TEMPLATE_BYTES_MAX = 1_048_576

const USER: Message = { role: "user", content: "Hello" }
/** Any conversation that a chat may begin with. */
const TRIALS: readonly (readonly Message[])[] = [[USER], [{ role: "system", content: "Be brief." }, USER]]

/** Rejects with an Error that says what is wrong and what would be right. */
export async function templateFromFile(path: string): Promise<ChatTemplate> {
  const source = await sourceIn(path)
  try {
    const template = await jinjaTemplate(source, { name: path })
    tryOut(template)
    return template
  } catch (thrown) {
    throw new Error(
      `conductor.template ${path}: this is no Jinja template that can be used: ${messageOf(thrown)}; mend the file, or ${CURE}`,
    )
  }
}

async function sourceIn(path: string): Promise<string> {
  const wrong = (what: string) => new Error(`conductor.template ${path}: ${what}; ${CURE}`)
  const found = await stat(path).catch((thrown: unknown) => {
    const isAbsent = isObject(thrown) && (thrown.code === "ENOENT" || thrown.code === "ENOTDIR")
    throw wrong(isAbsent ? "no prompt format has this name, and there is no such file" : messageOf(thrown))
  })
  // What is no file may never end.
  if (!found.isFile()) throw wrong(found.isDirectory() ? "this is a folder" : "this is no file")
  if (found.size > TEMPLATE_BYTES_MAX) throw wrong(`${found.size} bytes are too large for a template`)
  return readFile(path, "utf8").catch((thrown: unknown) => {
    throw wrong(messageOf(thrown))
  })
}

const CURE = `name a prompt format or the path of a .jinja file: ${TEMPLATES.map(({ name }) => name).join(", ")} or host`

/** Throws where it renders nothing: what it calls and nobody has is found only so. */
function tryOut(template: ChatTemplate): void {
  let failure: unknown
  for (const messages of TRIALS) {
    try {
      template.render([...messages])
      return
    } catch (thrown) {
      failure ??= thrown
    }
  }
  throw failure
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
