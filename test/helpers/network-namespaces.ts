/**
 * Two machines in one, for tests of what a packet filter does: network namespaces with a wire between them. They have
 * names of their own, and end with the test whatever happens.
 */
import { spawnSync } from "node:child_process"
import type { Test } from "tap"

export interface TwoMachines {
  /** What runs a command at either end: put it in front. */
  readonly near: readonly string[]
  readonly far: readonly string[]
}

/** Addresses of both ends. */
const NEAR = { v4: "10.77.0.1", v6: "fd77::1" }
export const FAR = { v4: "10.77.0.2", v6: "fd77::2" }

let count = 0

/** Why there can be none; false where there can. */
export function noNamespaces(): string | false {
  if (process.platform !== "linux") return "network namespaces are Linux's"
  if (process.getuid?.() !== 0) return "network namespaces need root"
  for (const [program, flag] of [
    ["ip", "-V"],
    ["nft", "-v"],
    ["setpriv", "-V"],
  ] as const)
    if (spawnSync(program, [flag], { stdio: "ignore" }).error !== undefined) return `${program} is not installed`
  const name = `llmproxy-try-${process.pid}`
  const made = spawnSync("ip", ["netns", "add", name], { encoding: "utf8" })
  if (made.status !== 0) return `no network namespace can be made here: ${made.stderr.trim()}`
  const filter = run(["ip", "netns", "exec", name, "nft", "-f", "-"], NAT_TABLE)
  spawnSync("ip", ["netns", "del", name], { stdio: "ignore" })
  return filter === undefined ? false : `no packet filter can be set here: ${filter}`
}

const NAT_TABLE = "table inet try { chain o { type nat hook output priority -100; tcp dport 9 redirect to :10; }; }"

export function twoMachines(t: Test): TwoMachines {
  const id = `lp${process.pid}-${++count}`
  const [near, far] = [`${id}n`, `${id}f`]
  t.teardown(() => {
    for (const name of [near, far]) spawnSync("ip", ["netns", "del", name], { stdio: "ignore" })
  })
  const wire = ["link", "add", "wire", "netns", near, "type", "veth", "peer", "name", "wire", "netns", far]
  for (const command of [["netns", "add", near], ["netns", "add", far], wire]) must(["ip", ...command])
  for (const [name, { v4, v6 }] of [
    [near, NEAR],
    [far, FAR],
  ] as const) {
    must(["ip", "-n", name, "addr", "add", `${v4}/24`, "dev", "wire"])
    must(["ip", "-n", name, "addr", "add", `${v6}/64`, "dev", "wire", "nodad"])
    for (const device of ["lo", "wire"]) must(["ip", "-n", name, "link", "set", device, "up"])
  }
  return { near: ["ip", "netns", "exec", near], far: ["ip", "netns", "exec", far] }
}

/** Runs a command to its end. Throws with what it said when it fails. */
export function must(command: readonly string[], input = ""): void {
  const failure = run(command, input)
  if (failure !== undefined) throw new Error(`${command.join(" ")}: ${failure}`)
}

function run([program = "", ...args]: readonly string[], input: string): string | undefined {
  const { status, stderr, error } = spawnSync(program, args, { input, encoding: "utf8" })
  return status === 0 ? undefined : (error?.message ?? stderr.trim())
}
