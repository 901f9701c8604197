/** Which programs run on a Node that takes no proxy from the environment. */
import { chmodSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { type Test, test } from "tap"
import { proxyHint } from "../../../lib/cli/run/node-program.ts"
import { FakeWorld } from "../../helpers/world.ts"

function makeWorld(t: Test, nodeVersion = "20.20.2"): FakeWorld {
  const folder = t.testdir({
    bin: {
      agent: "#!/usr/bin/env node\n",
      tool: "#!/bin/sh\nnode x\n",
      npm: "#!/usr/bin/env node\n",
      codex: "#!/usr/bin/env node\n",
      npx: "#!/usr/bin/env node\n",
      empty: "",
      folder: {},
    },
    other: { node: "#!/bin/sh\necho v22.1.0\n" },
    broken: { node: "#!/bin/sh\nexit 1\n" },
  })
  symlinkSync(process.execPath, join(folder, "bin", "node"))
  for (const name of ["other/node", "broken/node"]) chmodSync(join(folder, name), 0o755)
  return new FakeWorld({ cwd: folder, env: { PATH: `/gone:${join(folder, "bin")}` }, nodeVersion })
}

test("node, npx and scripts that begin with #! node are named with their Node", async (t) => {
  const world = makeWorld(t)
  for (const program of ["node", "npx", "agent", "bin/agent", process.execPath]) {
    const name = program.split("/").at(-1)
    const hint = `${name} runs on Node 20.20.2, whose fetch ignores HTTPS_PROXY (22.21 and 24 honour it)`
    t.equal(await proxyHint(program, world), hint, program)
  }
})

test("what takes the proxy itself, is no Node program, or is not there, is not named", async (t) => {
  const world = makeWorld(t)
  for (const program of ["npm", "codex", "tool", "empty", "folder", "none", "bin/none"])
    t.equal(await proxyHint(program, world), undefined, program)
  t.equal(await proxyHint("node", makeWorld(t, "24.0.0")), undefined)
})

test("another Node is asked for its version", async (t) => {
  const world = makeWorld(t, "24.0.0")
  t.match(await proxyHint("other/node", world), /^node runs on Node 22\.1\.0,/)
  t.equal(await proxyHint("broken/node", world), undefined)
  const bare = new FakeWorld({ cwd: world.cwd, env: {} })
  t.equal(await proxyHint("bin/agent", bare), undefined, "no node to be found")
})
