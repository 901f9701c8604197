/**
 * The built program is bundled, and what runs in a thread of its own is loaded there by its place: each of them starts, and
 * does its work.
 */
import { once } from "node:events"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { createServer, request } from "node:http"
import { join, relative } from "node:path"
import { bcrypt } from "hash-wasm"
import { test } from "tap"
import { startCommand } from "../helpers/command-process.ts"
import { LETTERS } from "../helpers/llm/vocabularies.ts"

/** Asks each thread but the passwords' from `running`, where the program says what comes of it. */
const ADDON = `export default {
  setup({ tokens, records, log }) {
    const kept = records("threads")
    return {
      async running() {
        const vocabulary = await tokens.vocabulary("tokenizer.json")
        const { tokens: own, method } = await vocabulary.countPrompt("ab")
        await kept.set("one", 1)
        log.info("counted " + (await tokens.countText("Hello, world", "gpt-4o")))
        log.info("by " + method + ": " + own)
        log.info("kept " + (await kept.get("one")))
      },
    }
  },
}`

test("each thread starts from the built program", async (t) => {
  const server = createServer((_, answer) => answer.end("came"))
  t.teardown(() => server.close())
  await once(server.listen(0, "127.0.0.1"), "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no address")
  const folder = t.testdir({ "threads.mjs": ADDON, "tokenizer.json": LETTERS })
  const hash = await bcrypt({
    password: "open sesame",
    salt: Buffer.alloc(16, 1),
    costFactor: 4,
    outputType: "encoded",
  })
  writeFileSync(join(folder, "users"), `ali:${hash}\n`)
  const args = ["-p", "0", "--confdir", "conf", "--proxy-auth-file", "users", "-s", "./threads.mjs"]
  const program = startCommand(t, args, { folder })
  const [, port] = await program.printed(/listening on http:\/\/127\.0\.0\.1:(\d+)/)

  const status = async (password: string) => {
    const asked = request({
      port: Number(port),
      path: `http://127.0.0.1:${address.port}/`,
      headers: { "proxy-authorization": `Basic ${btoa(`ali:${password}`)}`, connection: "close" },
    }).end()
    const [answer] = await once(asked, "response")
    answer.resume()
    return answer.statusCode
  }
  t.equal(await status("open sesame"), 200)
  t.equal(await status("open barley"), 407)
  await program.printed(/counted 3$/m)
  await program.printed(/by tokenizer tokenizer\.json: 2$/m)
  await program.printed(/kept 1$/m)
})

test("what is loaded by its place is an entry of the build", async (t) => {
  const build = readFileSync("build.mjs", "utf8")
  const files = readdirSync("lib", { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))
  const own = files.filter((file) => readFileSync(join("lib", file), "utf8").includes("new URL(import.meta.url)"))
  t.ok(own.length >= 4)
  for (const file of own) t.ok(build.includes(`"lib/${relative(".", file)}"`), file)
})
