/** The gateway is its parts, in their order. */
import { test } from "tap"
import { SHIPPED_ADDONS } from "../../addons/index.ts"
import { makeKey } from "../../addons/keys/secret.ts"
import { App } from "../../lib/app.ts"
import { makeLogger } from "../../lib/base/log.ts"
import { NO_SOURCES } from "../../lib/options/sources.ts"

/** The names of the addons that a line loads, in their order. */
async function loaded(confdir: string, scripts: readonly string[], set: readonly string[] = []): Promise<string[]> {
  const app = new App({
    sources: { ...NO_SOURCES, set, flags: { port: 0 }, env: { LLMPROXY_MASTER_KEY: makeKey() } },
    scripts: scripts.map((name) => `addons/${name}.ts`),
    places: { folders: [process.cwd()], shipped: "addons" },
    confdir,
    log: makeLogger(() => {}),
    watch: false,
  })
  try {
    await app.start()
    return app.addons.chain.addons.map(({ name }) => name)
  } finally {
    await app.stop()
  }
}

test("keys come first, what looks on last, and everything is one of the shipped addons", async (t) => {
  const names = await loaded(t.testdir(), ["gateway"])
  t.same(names.slice(0, 2), ["gateway", "keys"])
  t.ok(names.indexOf("models") < names.indexOf("fit"), "fit goes by the upstream that was chosen")
  t.ok(names.indexOf("fit") < names.indexOf("history"))
  const shipped: readonly string[] = SHIPPED_ADDONS.map(({ name }) => name)
  for (const name of names) t.ok(shipped.includes(name), name)
})

test("gateway.without leaves parts out, and what is no part is told", async (t) => {
  const without = (...parts: string[]) => loaded(t.testdir(), ["gateway"], [`gateway.without=${parts.join(",")}`])
  const names = await without("history", "fit")
  t.ok(names.includes("models"))
  for (const part of ["history", "fit", "pythagora-files"]) t.notOk(names.includes(part), part)
  await t.rejects(without("metric"), { message: /gateway\.without: "metric" is no part of it; it has keys, / })
})

test("a part that is named besides is loaded once", async (t) => {
  const names = await loaded(t.testdir(), ["gateway", "models", "hello"])
  t.equal(names.filter((name) => name === "models").length, 1)
  t.equal(names.at(-1), "hello")
})
