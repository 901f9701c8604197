/**
 * The flags by which flows are chosen, and what they mean.
 */
import { UsageError } from "../../base/errors.ts"
import type { FlowFilter, StatusFilter } from "../../store/reader.ts"
import type { CommandLine, Flags } from "../command.ts"

export const FILTER_FLAGS = {
  model: { type: "text", value: "NAME", help: "Only this model, asked for or answering; * stands for anything." },
  route: { type: "text", value: "ROUTE", help: "Only this route: local, cloud, direct, ..." },
  client: { type: "text", value: "ID", help: "Only this client." },
  since: { type: "text", value: "TIME", help: "Begun at or after: 2026-01-31, 2026-01-31T12:00, or 7d, 12h, 30m ago." },
  until: { type: "text", value: "TIME", help: "Begun before, written as for --since, or now." },
  status: { type: "text", value: "STATUS", help: "Only this status: 200, 4xx, ok or error." },
  search: { type: "text", value: "TEXT", help: "Only flows in which this was said." },
  limit: { type: "text", alias: "n", value: "COUNT", help: "At most so many flows, the latest." },
} as const satisfies Flags

const UNITS_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** Throws a UsageError for what cannot be read. */
export function filterOf(line: CommandLine, now: number): FlowFilter {
  const time = (name: string) => timeOf(name, line.text(name), now)
  return {
    model: line.text("model"),
    route: line.text("route"),
    client: line.text("client"),
    since: time("since"),
    until: time("until"),
    status: statusOf(line.text("status")),
    search: line.text("search") || undefined,
    attempts: line.has("attempts"),
  }
}

export function limitOf(line: CommandLine): number | undefined {
  const text = line.text("limit")
  if (text === undefined) return undefined
  const limit = Number(text)
  if (/^\d+$/.test(text) && limit > 0) return limit
  throw new UsageError(`--limit ${text}: write how many flows, for example --limit 20`)
}

function timeOf(name: string, text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined
  if (text === "now") return now
  const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)([mhdw])$/.exec(text) ?? []
  const unitMs = UNITS_MS[unit]
  if (unitMs !== undefined) return now - Number(amount) * unitMs
  // A day is this machine's day, as a person means it.
  const time = Date.parse(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00` : text)
  if (/^\d{4}-/.test(text) && !Number.isNaN(time)) return time
  throw new UsageError(`--${name} ${text}: write a time such as 2026-01-31, 2026-01-31T12:00, or 7d, 12h, 30m ago`)
}

function statusOf(text: string | undefined): StatusFilter | undefined {
  if (text === undefined || text === "ok" || text === "error") return text
  if (/^[1-5]xx$/i.test(text)) return { from: Number(text[0]) * 100, to: Number(text[0]) * 100 + 99 }
  if (/^\d{3}$/.test(text)) return { from: Number(text), to: Number(text) }
  throw new UsageError(`--status ${text}: write a status such as 200, a class such as 4xx, ok or error`)
}
