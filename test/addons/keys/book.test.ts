/** What is known of keys at the moment: how it is looked up again. */
import { test } from "tap"
import { BELIEVED_MS, KeyBook } from "../../../addons/keys/book.ts"
import { hashOf } from "../../../addons/keys/secret.ts"
import { MIGRATIONS, type Tables } from "../../../addons/keys/tables.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { startKeys } from "./rig.ts"

test("keys in use are looked up together, and a change of one counts all the same", async (t) => {
  const { addon, clock, make } = await startKeys(t)
  const hashes = (await Promise.all(Array.from({ length: 50 }, () => make()))).map(hashOf)
  let statements = 0
  const plugin = {
    transformQuery<N>({ node }: { node: N }): N {
      statements++
      return node
    },
    transformResult: async <R>({ result }: { result: R }): Promise<R> => result,
  }
  const db = (await addon.tables<Tables>(MIGRATIONS)).withPlugin(plugin)
  const book = new KeyBook(
    db,
    clock,
    makeLogger(() => {}),
  )
  const findAll = () => Promise.all(hashes.map((hash) => book.find(hash)))
  t.equal((await findAll()).filter((key) => key !== undefined).length, 50)
  await findAll()
  const [gone] = (await findAll()).slice(-1)
  await book.revoke(gone?.id ?? "")
  clock.advance(BELIEVED_MS)
  statements = 0
  const found = await findAll()
  t.equal(statements, 1, "one statement for all of them")
  t.ok(found.every((key) => key !== undefined))
  t.ok(found.at(-1)?.revokedAt !== undefined)
})
