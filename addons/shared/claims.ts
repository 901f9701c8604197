/**
 * What the addon `keys` says of a client beside its name, for addons that ask what a key may do or whose it is. Claims are
 * another addon's words, so that each is checked here before it is believed: what is not as expected is not there.
 */
import type { ClientInfo } from "llmproxy"

/** What a key may use: names and globs ("gpt-*") of each kind; undefined: all of that kind. */
interface Scopes {
  readonly models: readonly string[] | undefined
  readonly upstreams: readonly string[] | undefined
  readonly endpoints: readonly string[] | undefined
  readonly services: readonly string[] | undefined
}

export interface Claims {
  /** The key's public id, as in "k_ab12"; never the key. */
  readonly key: string | undefined
  readonly owner: string | undefined
  readonly team: string | undefined
  readonly tags: readonly string[]
  /** It may do what any key may, and what is for who runs the proxy. */
  readonly admin: boolean
  readonly scopes: Scopes
  /** The profile that its requests have where they name none. */
  readonly profile: string | undefined
}

/** Undefined: nobody has named the client with claims, as where no keys are loaded. */
export function claimsOf({ claims }: Pick<ClientInfo, "claims">): Claims | undefined {
  if (claims === undefined) return undefined
  const { key, owner, team, tags, admin, scopes, profile } = claims
  const lists = typeof scopes === "object" && scopes !== null && !Array.isArray(scopes) ? scopes : {}
  return {
    key: textOf(key),
    owner: textOf(owner),
    team: textOf(team),
    tags: textsOf(tags) ?? [],
    admin: admin === true,
    scopes: {
      models: textsOf(lists.models),
      upstreams: textsOf(lists.upstreams),
      endpoints: textsOf(lists.endpoints),
      services: textsOf(lists.services),
    },
    profile: textOf(profile),
  }
}

/** Whether one of the globs fits; `undefined` is no limit. In a glob "*" stands for any characters, none included. */
export function allows(globs: readonly string[] | undefined, name: string): boolean {
  return globs === undefined || globs.some((glob) => fits(glob, name))
}

/** In one pass over each, so that no glob of a key costs more than its length times the name's. */
function fits(glob: string, name: string): boolean {
  const [first = "", ...rest] = glob.split("*")
  if (rest.length === 0) return glob === name
  const last = rest.pop() ?? ""
  if (!name.startsWith(first) || name.length < first.length + last.length || !name.endsWith(last)) return false
  let from = first.length
  for (const part of rest) {
    const at = name.indexOf(part, from)
    if (at < 0) return false
    from = at + part.length
  }
  return from <= name.length - last.length
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined
}

function textsOf(value: unknown): string[] | undefined {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : undefined
}
