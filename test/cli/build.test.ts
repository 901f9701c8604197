/** `npm start` and `npm run build`: what is said at once, and that nothing is made again that is there. */
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join, resolve } from "node:path"
import { test } from "tap"
import { builtCommand } from "../helpers/dist.ts"

const ROOT = resolve(import.meta.dirname, "../..")

test("npm start says what it does before it builds", async (t) => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"))
  const [first] = String(scripts.start).split("&&")
  const { stdout } = spawnSync(String(first), { shell: true, encoding: "utf8" })
  t.match(stdout, /^Building llmproxy/)
})

test("a build of what is built writes nothing", async (t) => {
  builtCommand()
  const times = () => {
    const names = readdirSync(join(ROOT, "dist", "bin"))
    return names.map((name) => [name, statSync(join(ROOT, "dist", "bin", name)).mtimeMs])
  }
  const before = times()
  const { status } = spawnSync("npm", ["run", "--silent", "build"], { cwd: ROOT, stdio: "inherit", shell: true })
  t.equal(status, 0)
  t.same(times(), before)
})
