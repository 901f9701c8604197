/** A server of PostgreSQL's that is gone, as the old clients' calls meet it: 503 in their form, and nothing of where it was. */
import { test } from "tap"
import { asked, NO_POSTGRES, newDatabase } from "../../helpers/postgres.ts"
import { folderFor, startGateway, startUpstreams } from "./rig.ts"

test("/answer, /models/model and /auth/key say when to come again, and the log what was lost", {
  skip: NO_POSTGRES,
}, async (t) => {
  const database = await newDatabase(t)
  const folder = folderFor(t, await startUpstreams(t))
  const args = ["-s", "gateway", "--database", database, "--set", 'profiles.list={"brief":{"temperature":0.2}}']
  const { base, master, program } = await startGateway(t, folder, { args })
  const ask = async (path: string, json: object) => {
    const headers = { Authorization: master, "Content-Type": "application/json" }
    const answer = await fetch(`${base}${path}`, { method: "POST", headers, body: JSON.stringify(json) })
    return { status: answer.status, retry: answer.headers.get("retry-after"), text: await answer.text() }
  }
  const calls: [path: string, json: object][] = [
    ["/answer", { prompt: "Hi.", session_id: 1 }],
    ["/models/model", { model_config: "brief" }],
    ["/auth/key", {}],
  ]
  for (const [path, json] of calls) t.equal((await ask(path, json)).status, 200, path)
  const name = new URL(database).pathname.slice(1)
  await asked(process.env.LLMPROXY_TEST_POSTGRES ?? "", `drop database ${name} with (force)`)
  for (const [path, json] of calls) {
    const { status, retry, text } = await ask(path, json)
    t.same([status, retry], [503, "5"], path)
    t.match(JSON.parse(text), { message: /cannot be reached now/ })
    t.notMatch(text, name)
  }
  await program.printed(new RegExp(`serve POST /auth/key failed: .*${name}`))
})
