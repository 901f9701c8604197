/** `llmproxy sessions`: lists, shows, deletes and imports sessions. */
import { readFile } from "node:fs/promises"
import { type CommandContext, type DeclareCommand, type OptionSpecs, textOf, UsageError } from "llmproxy"
import { NOBODY } from "./ids.ts"
import { type OldSession, readOldSessions } from "./old-file.ts"
import type { SessionStore } from "./store.ts"

const FLAGS = {
  owner: {
    type: "string",
    default: NOBODY,
    help: "Whose they are: the owner of a key, else its label. Default: the master key's.",
  },
  json: { type: "boolean", default: false, help: "List and show as JSON." },
} as const satisfies OptionSpecs

type Context = CommandContext<typeof FLAGS>

export function declareSessions(command: DeclareCommand, opened: () => Promise<SessionStore>): void {
  command({
    name: "sessions",
    help: "list, show, delete and import the conversations of clients",
    operands: "list | show ID | delete ID... | import FILE",
    options: FLAGS,
    async run(context): Promise<number> {
      const [action, ...operands] = context.operands
      const [first] = operands
      if (action === "list" && first === undefined) return list(context, await opened())
      if (first !== undefined && action === "delete") return remove(context, operands, await opened())
      if (first !== undefined && operands.length === 1) {
        if (action === "show") return show(context, first, await opened())
        if (action === "import") return importFile(context, first, await opened())
      }
      throw new UsageError(
        "sessions: write sessions list, show ID, delete ID or import FILE (see llmproxy sessions --help)",
      )
    },
  })
}

async function list({ flags: { owner, json }, print, note }: Context, store: SessionStore): Promise<number> {
  const listed = await store.list(owner)
  if (json) print(`${JSON.stringify(listed, undefined, 2)}\n`)
  else
    for (const { id, name, length, updatedAt } of listed)
      print(`${id}  ${name}  ${length} messages  ${new Date(updatedAt).toISOString()}\n`)
  if (listed.length > 0) return 0
  const owners = (await store.owners()).filter((other) => other !== owner)
  note(`${owner} has no sessions${owners.length === 0 ? "" : `; --owner may be ${owners.join(", ")}`}\n`)
  return 0
}

async function show({ flags: { owner, json }, print }: Context, id: string, store: SessionStore): Promise<number> {
  const messages = await store.messages({ owner, id })
  if (messages.length === 0)
    throw new UsageError(`sessions: ${owner} has no session ${id}; llmproxy sessions list shows them`)
  if (json) print(`${JSON.stringify(messages, undefined, 2)}\n`)
  else for (const { role, content } of messages) print(`${role}: ${textOf(content ?? undefined)}\n`)
  return 0
}

async function remove(
  { flags: { owner }, note }: Context,
  ids: readonly string[],
  store: SessionStore,
): Promise<number> {
  let missing = 0
  for (const id of ids) {
    const isGone = await store.delete({ owner, id })
    if (!isGone) missing += 1
    note(isGone ? `session ${id} is gone\n` : `${owner} has no session ${id}\n`)
  }
  return missing === 0 ? 0 : 1
}

async function importFile(
  { flags: { owner }, print, note }: Context,
  file: string,
  store: SessionStore,
): Promise<number> {
  let sessions: OldSession[]
  try {
    sessions = readOldSessions(await readFile(file, "utf8"))
  } catch (thrown) {
    throw new UsageError(`sessions import ${file}: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
  }
  let imported = 0
  for (const { id, name, messages } of sessions) {
    const why =
      messages.length === 0
        ? "nothing was said in it"
        : (await store.add({ owner, id }, name, messages))
          ? undefined
          : `${owner} has a session of that id`
    if (why === undefined) imported += 1
    else note(`session ${id} is left out: ${why}\n`)
  }
  const left = sessions.length - imported
  print(`${imported} sessions imported for ${owner}${left > 0 ? `, ${left} left out` : ""}\n`)
  return imported > 0 || left === 0 ? 0 : 1
}
