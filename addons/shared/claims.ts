/**
 * What the addon `keys` says of a client beside its name, for addons that ask what a key may do or whose it is. Claims are
 * another addon's words, so that each is checked here before it is believed: what is not as expected is not there.
 */
import { type ClientInfo, objectOf, stringOf } from "llmproxy"
import { isLike } from "./globs.ts"

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
  const lists = objectOf(scopes) ?? {}
  return {
    key: stringOf(key),
    owner: stringOf(owner),
    team: stringOf(team),
    tags: textsOf(tags) ?? [],
    admin: admin === true,
    scopes: {
      models: textsOf(lists.models),
      upstreams: textsOf(lists.upstreams),
      endpoints: textsOf(lists.endpoints),
      services: textsOf(lists.services),
    },
    profile: stringOf(profile),
  }
}

/** Whether one of the globs fits; `undefined` is no limit. In a glob "*" stands for any characters, none included. */
export function allows(globs: readonly string[] | undefined, name: string): boolean {
  return globs === undefined || globs.some((glob) => isLike(name, glob, "as written"))
}

function textsOf(value: unknown): string[] | undefined {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : undefined
}
