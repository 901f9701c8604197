/**
 * Processes under measurement: started with a port on their first line of output, their CPU time and memory read from
 * the operating system, children included.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { systemCodeOf } from "../../lib/base/errors.ts"

/** Clock ticks a second in /proc/PID/stat: a constant of the Linux ABI. */
const TICKS_PER_SECOND = 100

export interface Peer {
  readonly name: string
  readonly child: ChildProcess
  readonly port: number
  stop(): Promise<void>
}

/** Process groups that run. A run that is ended from outside takes them with it. */
const running = new Set<number>()
process.once("exit", () => {
  for (const group of running) killGroup(group)
})

/**
 * Starts a command; `port` is what it listens on, or the number on its first line of output. It gets a process group of
 * its own: nginx's workers outlive their master, and would hold the origin's connections and our pipes.
 */
export async function startPeer(
  name: string,
  command: string,
  args: readonly string[],
  options: { port?: number; env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<Peer> {
  const child = spawn(command, args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    detached: true,
  })
  if (child.pid !== undefined) running.add(child.pid)
  let errors = ""
  child.stderr.on("data", (bytes) => {
    errors = (errors + String(bytes)).slice(-2_000)
  })
  try {
    const port = options.port ?? (await firstNumber(child, () => errors))
    if (options.port === undefined) child.stdout.resume()
    return { name, child, port, stop: () => stop(child) }
  } catch (thrown) {
    await stop(child)
    throw thrown
  }
}

function firstNumber(child: ChildProcess, errors: () => string): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = ""
    child.stdout?.on("data", (bytes) => {
      text += String(bytes)
      const match = /(\d{4,5})\s*\n/.exec(text)
      if (match !== null) resolve(Number(match[1]))
    })
    child.once("error", reject)
    child.once("exit", (code) => reject(new Error(`ended with ${code} before it listened: ${errors()}`)))
  })
}

/** Ends the whole group; resolves when its first process is gone and our pipes to all of them are closed. */
async function stop(child: ChildProcess): Promise<void> {
  const { pid } = child
  if (pid === undefined) return // It was never started.
  const isOver = child.exitCode !== null || child.signalCode !== null
  const closed = isOver ? undefined : new Promise((resolve) => child.once("close", resolve))
  killGroup(pid)
  running.delete(pid)
  await closed
}

function killGroup(group: number): void {
  try {
    process.kill(-group, "SIGKILL")
  } catch (thrown) {
    if (systemCodeOf(thrown) !== "ESRCH") throw thrown // Nobody of it is left.
  }
}

/** CPU time of the process and its children, in microseconds. */
export function cpuMicros(peer: Peer): number {
  return family(peer.child.pid ?? 0).reduce((sum, pid) => sum + statOf(pid).cpu, 0)
}

/** Resident memory of the process and its children, in bytes. */
export function residentBytes(peer: Peer): number {
  return family(peer.child.pid ?? 0).reduce((sum, pid) => sum + statOf(pid).resident, 0)
}

function family(pid: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync("/proc"))
    if (/^\d+$/.test(name)) parents.set(Number(name), statOf(Number(name)).parent)
  const members = [pid]
  for (const member of members) for (const [child, parent] of parents) if (parent === member) members.push(child)
  return members
}

function statOf(pid: number): { parent: number; cpu: number; resident: number } {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    // The name is in parentheses and may hold anything; fields are counted behind it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    const ticks = Number(fields[11]) + Number(fields[12])
    const cpu = threadMicros(pid) ?? (ticks / TICKS_PER_SECOND) * 1e6
    return { parent: Number(fields[1]), cpu, resident: Number(fields[21]) * 4_096 }
  } catch {
    return { parent: 0, cpu: 0, resident: 0 } // It has ended meanwhile.
  }
}

/** Milliseconds for which llmproxy's event loop stood still at most since this was asked last; the first time, 0. */
export function loopMaxMs({ child }: Peer): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = ""
    const take = (bytes: Buffer) => {
      text += bytes.toString()
      const found = /loop ([\d.]+) ms/.exec(text)?.[1]
      if (found === undefined) return
      child.stdout?.off("data", take)
      child.off("exit", onExit)
      resolve(Number(found))
    }
    const onExit = () => reject(new Error("ended before it answered"))
    child.stdout?.on("data", take)
    child.once("exit", onExit)
    child.kill("SIGUSR2")
  })
}

/** CPU time of the threads that live, to the nanosecond: ticks are too coarse for a request. Undefined without schedstat. */
function threadMicros(pid: number): number | undefined {
  try {
    const times = readdirSync(`/proc/${pid}/task`).map((thread) =>
      Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ")[0]),
    )
    return times.reduce((sum, nanoseconds) => sum + nanoseconds, 0) / 1_000
  } catch {
    return undefined
  }
}
