import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import t from "tap"
import { startPeer } from "./process.ts"

const POSIX = process.platform === "win32" ? { skip: "process groups are POSIX" } : {}

/** A program that starts another one, which holds its pipes and outlives it, and says that one's process number. */
const WITH_WORKER = `
  const worker = require("node:child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)"], { stdio: "inherit" })
  console.log(worker.pid)
  setInterval(() => {}, 1e6)`

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

t.test("a peer that is stopped takes its workers with it", POSIX, async (t) => {
  const peer = await startPeer("parent", process.execPath, ["-e", WITH_WORKER])
  const worker = peer.port // The number that it says.
  t.ok(isAlive(worker))
  await peer.stop()
  await gone(worker)
  await peer.stop()
  t.pass("stopped twice")
})

t.test("a peer that has ended by itself leaves no worker behind its stop", POSIX, async () => {
  const peer = await startPeer("parent", process.execPath, ["-e", WITH_WORKER])
  const exited = once(peer.child, "exit")
  peer.child.kill("SIGKILL")
  await exited
  await peer.stop()
  await gone(peer.port)
})

t.test("a peer that does not start says why and is not left behind", async (t) => {
  await t.rejects(startPeer("broken", process.execPath, ["-e", "console.error('no'); process.exit(3)"]), {
    message: /ended with 3 before it listened: no/,
  })
  await t.rejects(startPeer("missing", "/nonexistent/program", []), { message: /ENOENT/ })
})

t.test("a run that ends takes its peers and their workers with it", POSIX, async (t) => {
  const module = fileURLToPath(new URL("./process.ts", import.meta.url))
  const script = `
    import { startPeer } from ${JSON.stringify(module)}
    const { port } = await startPeer("parent", process.execPath, ["-e", ${JSON.stringify(WITH_WORKER)}])
    console.log(port)
    process.stdin.once("data", () => process.exit(1))`
  const run = spawn(process.execPath, [...process.execArgv, "--input-type=module", "-e", script], {
    stdio: ["pipe", "pipe", "inherit"],
  })
  const worker = await firstNumber(run)
  t.ok(isAlive(worker))
  run.stdin.end("go")
  await once(run, "exit")
  await gone(worker)
})

async function firstNumber(child: ChildProcess): Promise<number> {
  let text = ""
  for await (const bytes of child.stdout ?? []) {
    text += String(bytes)
    const found = /(\d+)\n/.exec(text)?.[1]
    if (found !== undefined) return Number(found)
  }
  throw new Error("ended before it said a number")
}

/** Resolves when the system has taken the process away, which it does after the signal; the test's time limit ends it else. */
async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await new Promise((resolve) => setImmediate(resolve))
}
