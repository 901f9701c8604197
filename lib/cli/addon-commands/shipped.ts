/**
 * The commands of shipped addons, for the help and for "did you mean": from their index, so that none of them is built to
 * be named. The index is found as the addons are, by its place, because lib knows no addon.
 */
import { isObject } from "../../base/json.ts"
import { ownModule } from "../package.ts"

export interface ShippedCommand {
  /** Of the command and of its addon. */
  readonly name: string
  readonly help: string
}

export async function shippedCommands(index = ownModule("addons/index")): Promise<ShippedCommand[]> {
  const { SHIPPED_ADDONS: listed }: { SHIPPED_ADDONS?: unknown } = await import(index.href)
  const entries: readonly unknown[] = Array.isArray(listed) ? listed : []
  return entries.flatMap((entry) =>
    isObject(entry) && typeof entry.name === "string" && typeof entry.command === "string"
      ? [{ name: entry.name, help: entry.command }]
      : [],
  )
}
