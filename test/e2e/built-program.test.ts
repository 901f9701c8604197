/**
 * The built program is bundled. What runs in a thread of its own is loaded there by its place: each of them starts, and
 * does its work. What is needed later is loaded later, when the files may have been replaced, by a build or by `npm i -g`.
 */
import { once } from "node:events"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { cp, mkdir, rename, symlink } from "node:fs/promises"
import { createServer, request } from "node:http"
import { join, relative } from "node:path"
import { bcrypt } from "hash-wasm"
import { test } from "tap"
import { exitsWith, RunningCommand, startCommand } from "../helpers/command-process.ts"
import { builtCommand } from "../helpers/dist.ts"
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

  const status = async (password: string) =>
    await statusThrough(port, `http://127.0.0.1:${address.port}/`, {
      "proxy-authorization": `Basic ${btoa(`ali:${password}`)}`,
    })
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

const COUNTS_AND_KEEPS = `export default {
  setup({ tokens, records, log }) {
    const kept = records("replaced")
    return {
      async requestHeaders(flow) {
        flow.respond({ status: 204 })
        if (flow.request.url.endsWith("/count")) log.info("counted " + (await tokens.countText("Hello, world", "gpt-4o")))
        if (flow.request.url.endsWith("/keep")) await kept.set("one", 1)
      },
    }
  },
}`

test("a program whose files are gone says so, goes on when they are back, and ends well", async (t) => {
  builtCommand()
  const folder = t.testdir({ "own.mjs": COUNTS_AND_KEEPS })
  const root = join(folder, "llmproxy")
  await mkdir(root)
  for (const name of ["dist/bin", "dist/lib", "addons", "package.json"])
    await cp(name, join(root, name), { recursive: true })
  await symlink(join(process.cwd(), "node_modules"), join(root, "node_modules"))
  const args = ["-p", "0", "--confdir", "conf", "-s", "./own.mjs"]
  const command = [process.execPath, join(root, "dist/bin/llmproxy.js"), ...args]
  const program = new RunningCommand(t, command, { folder })
  const [, port] = await program.printed(/listening on http:\/\/127\.0\.0\.1:(\d+)/)
  const ask = async (path: string) => await statusThrough(port, `http://127.0.0.1:9/${path}`)
  t.equal(await ask("first"), 204)
  const lib = join(root, "dist", "lib")
  await rename(lib, `${lib}-before`)
  await ask("count")
  await program.printed(/"own": requestHeaders failed: llmproxy was built or installed anew since .* start it again$/m)
  await ask("keep")
  await program.printed(/(requestHeaders failed: llmproxy was built or installed anew [\s\S]*){2}/)
  t.equal(await ask("first"), 204, "what it has loaded goes on")
  await rename(`${lib}-before`, lib)
  await ask("count")
  await program.printed(/counted 3$/m)
  await rename(lib, `${lib}-before`)
  program.signal("SIGTERM")
  exitsWith(t, 0, await program.outcome)
})

/** The status of a request through the proxy at that port. */
async function statusThrough(
  port: string | undefined,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<number | undefined> {
  const asked = request({ port: Number(port), path, headers: { ...headers, connection: "close" } }).end()
  const [answer] = await once(asked, "response")
  answer.resume()
  return answer.statusCode
}
