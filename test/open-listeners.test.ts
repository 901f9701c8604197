/** An addon that puts keys into requests, where others reach the listener and nobody is asked who they are. */
import { type Test, test } from "tap"
import type { AddonDefinition } from "../lib/api/addon.ts"
import { checkDefinition } from "../lib/loader/check.ts"
import { folderWith, startedWith } from "./api/started.ts"

const giver = (givesKeys: AddonDefinition["givesKeys"]): AddonDefinition => ({
  name: "giver",
  options: { port: { type: "string", default: "the-default", help: "" } },
  ...(givesKeys === undefined ? {} : { givesKeys }),
  request() {},
})
const asker: AddonDefinition = { name: "asker", asks: "everywhere", authenticate() {} }

async function start(t: Test, flags: Record<string, unknown>, ...builtin: AddonDefinition[]): Promise<void> {
  await startedWith(t, await folderWith(t, {}), { flags, builtin })
}

test("the program does not start, and says what to do in one line", async (t) => {
  await t.rejects(start(t, { host: "0.0.0.0" }, giver(true)), {
    name: "UsageError",
    message:
      'addon "giver" puts keys of yours into requests, and others, who reach 0.0.0.0:0, could spend them: ' +
      "load keys (-s keys), set --proxy-auth, or listen on 127.0.0.1",
  })
  await t.rejects(
    start(
      t,
      { host: "0.0.0.0" },
      giver((options) => options.port === "the-default"),
    ),
    /keys of yours/,
  )
  await t.rejects(
    start(t, { trustedProxy: ["10.0.0.0/8"] }, giver(true)),
    /and clients behind --trusted-proxy could spend/,
  )
})

test("it does where nobody else reaches it, somebody asks who they are, or no key is given", async (t) => {
  await start(t, {}, giver(true))
  await start(t, { host: "0.0.0.0" }, giver(true), asker)
  await start(t, { host: "0.0.0.0", proxyAuth: "ann:word" }, giver(true))
  await start(
    t,
    { host: "0.0.0.0" },
    giver(() => false),
  )
  await start(t, { host: "0.0.0.0" }, giver(undefined))
})

test("what givesKeys may be is checked", (t) => {
  const source = { file: undefined, files: [] }
  const wrong = { ...giver(true), givesKeys: "yes" }
  const message = /givesKeys must be true, false, or a function of the options/
  t.throws(() => checkDefinition(wrong, source), { name: "UsageError", message })
  const odd = checkDefinition({ ...giver(true), givesKeys: () => "yes" }, source)
  t.throws(() => odd.givesKeys({}), { name: "UsageError", message })
  t.end()
})
