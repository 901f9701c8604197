/**
 * npm install through `llmproxy run` and the conductor: a Node program that reads HTTPS_PROXY and NODE_EXTRA_CA_CERTS
 * on every Node, many requests on kept connections, hashes that npm checks itself.
 */
import { spawnSync } from "node:child_process"
import { readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { fixture } from "../helpers/clients/chat-clients.ts"
import { exitsWith, missing, runThrough } from "../helpers/command-process.ts"
import { startChatHosts, toPort } from "../helpers/hosts/chat-hosts.ts"
import { npmSettings, REGISTRY_NAME, startNpmRegistry } from "../helpers/hosts/npm-registry.ts"

const GREETING = fixture("npm/greeting")
const WORDS = fixture("npm/words")

test("npm install over HTTPS, unchanged, brings every file as it was", { skip: missing("npm") }, async (t) => {
  const { folder, flags } = await startChatHosts(t)
  const registry = await startNpmRegistry(t, folder, [GREETING, WORDS])
  await writeFile(join(folder, "package.json"), JSON.stringify({ name: "app", version: "1.0.0", private: true }))
  const all = [...flags, ...toPort(REGISTRY_NAME, registry.port)]
  const env = npmSettings(folder)
  const outcome = await runThrough(t, all, ["npm", "install", "--save-exact", "greeting"], { folder, env })
  exitsWith(t, 0, outcome)

  for (const [name, source] of [["greeting", GREETING] as const, ["@example/words", WORDS] as const])
    t.same(await filesOf(join(folder, "node_modules", name)), await filesOf(source), name)
  const lock = JSON.parse(await readFile(join(folder, "package-lock.json"), "utf8"))
  for (const [name, hash] of registry.integrity) t.equal(lock.packages[`node_modules/${name}`].integrity, hash)
  const program = "console.log(require('greeting')())"
  t.equal(spawnSync(process.execPath, ["-e", program], { cwd: folder, encoding: "utf8" }).stdout, "hello, wörld\n")

  // The escape in a scoped name passes as it is.
  const paths = [
    "/greeting",
    "/greeting/-/greeting-1.2.3.tgz",
    "/@example%2fwords",
    "/@example/words/-/words-2.0.1.tgz",
  ]
  for (const path of paths) t.ok(registry.requests.includes(path), path)
  t.match(
    outcome.stderr,
    / {2}GET registry\.test\/greeting\/-\/greeting-1\.2\.3\.tgz {2}200 /m,
    "it came through the proxy",
  )
  t.notMatch(outcome.stderr, /ignores HTTPS_PROXY/, "npm reads HTTPS_PROXY itself")
})

async function filesOf(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  const read = async (file: string) => [file.slice(folder.length), await readFile(file, "base64")]
  return Object.fromEntries(await Promise.all(files.sort().map(read)))
}
