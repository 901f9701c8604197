/** Which Nodes are warned of, and which take a proxy from the environment. */
import { test } from "tap"
import { nodeWarning, usesEnvProxy } from "../../lib/cli/node-version.ts"

test("a Node whose line has ended is warned of", async (t) => {
  for (const version of ["20.20.2", "18.0.0", "21.7.3", "23.11.0", "25.1.0"])
    t.equal(nodeWarning(version), `Node ${version} gets no security fixes any more; use 24.22.1 or later`)
})

test("a Node below its line's fixes is warned of, one with them is not", async (t) => {
  for (const [version, fixed] of [
    ["22.23.3", "22.23.4"],
    ["24.9.0", "24.22.1"],
    ["26.12.0", "26.12.1"],
  ] as const)
    t.equal(
      nodeWarning(version),
      `Node ${version} lacks security fixes that a proxy needs; update to ${fixed} or later`,
    )
  for (const version of ["22.23.4", "22.24.0", "24.22.1", "24.100.0", "26.12.1", "27.0.0", "28.1.0-nightly"])
    t.equal(nodeWarning(version), undefined, version)
})

test("NODE_USE_ENV_PROXY works from 22.21 and 24.0 on", async (t) => {
  for (const version of ["22.21.0", "22.22.1", "24.0.0", "26.1.0"]) t.ok(usesEnvProxy(version), version)
  for (const version of ["20.20.2", "22.20.0", "23.11.0"]) t.notOk(usesEnvProxy(version), version)
})
