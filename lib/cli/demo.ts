/**
 * `llmproxy demo`: the main job on this machine alone. A simulated local host, a scripted cloud, the proxy with the
 * conductor and a client are processes of their own and talk over real sockets; what each host received is told by the
 * host. On a terminal it then stays up, so that a person can point a client at it.
 */
import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { remove } from "fs-extra/esm"
import { caPaths } from "../../certs/ca.ts"
import { shellQuote } from "../../certs/trust.ts"
import type { Command, CommandLine } from "./command.ts"
import { LOCAL_SCRIPT } from "./demo/host.ts"
import type { Door, Outcome, Seen } from "./demo/messages.ts"
import { differences, type Result, type Step, steps, THRESHOLD } from "./demo/plan.ts"
import { DemoChild, DemoProxy, demoEnvironment, OWN_BUILD, type ProcessPlace } from "./demo/processes.ts"
import { clean, fold } from "./terminal/flow-line.ts"
import { type Paint, paintFor } from "./terminal/paint.ts"
import type { World } from "./world.ts"

/** Characters of an answer that are shown. */
const ANSWER_CHARS_MAX = 80
/** Before each line that the proxy printed. */
const LEAD = "  "

export const demoCommand: Command = {
  name: "demo",
  usage: "llmproxy demo [--once]",
  help: "show the main job on simulated hosts: no network, no key; then stay up to be tried",
  flags: { once: { type: "switch", help: "End after the sample traffic; status 0 only if all went as told." } },
  run: (line, world) => demo(line, world),
}

interface Stage {
  readonly local: DemoChild
  readonly cloud: DemoChild
  readonly proxy: DemoProxy
  readonly client: DemoChild
  readonly proxyUrl: string
  readonly confdir: string
  /** What the hosts have seen and nobody has taken yet. */
  readonly seen: Seen[]
}

/** `build`: see ProcessPlace. */
export async function demo(line: CommandLine, world: World, build = OWN_BUILD): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-demo-"))
  const processes: { stop(): Promise<void> }[] = []
  let onSignal = () => {}
  const signalled = new Promise<void>((resolve) => {
    onSignal = resolve
  })
  const forget = world.onSignal(() => onSignal())
  try {
    const paint = await paintFor(world.env, world.out.isTerminal)
    const place = { build, env: demoEnvironment(world.env), cwd: folder, clock: world.clock }
    const played = play(place, processes, world, paint, signalled)
    const staysUp = world.out.isTerminal && !line.has("once")
    const went = await Promise.race([played, signalled.then(() => undefined)])
    if (went === undefined) return 1 // Ended by a signal before it was over.
    if (!staysUp) return went.failed === 0 ? 0 : 1
    world.out.write(invitation(went.stage, paint))
    went.stage.proxy.follow((text) => world.out.write(folded(text, world.out.columns)))
    await signalled
    return went.failed === 0 ? 0 : 1
  } finally {
    forget()
    await Promise.all(processes.map((process) => process.stop()))
    await remove(folder)
  }
}

/** Starts everything and goes through the steps. Resolves with how many went otherwise than told. */
async function play(
  place: ProcessPlace,
  processes: { stop(): Promise<void> }[],
  world: World,
  paint: Paint,
  signalled: Promise<void>,
): Promise<{ stage: Stage; failed: number }> {
  let isOver = false
  void signalled.then(() => {
    isOver = true
  })
  const stage = await setUp(place, processes, world)
  const say = (text: string) => {
    if (!isOver) world.out.write(text)
  }
  say(opening(stage, paint))
  const lines: string[] = []
  let failed = 0
  let door: Door | undefined
  for (const step of steps()) {
    if (step.job.door !== door) say(`\n${paint("bold", doorText(step.job.door, stage.proxyUrl))}\n`)
    door = step.job.door
    const result = await take(step, stage)
    const found = differences(step, result)
    if (found.length > 0) failed += 1
    lines.push(result.line)
    say(stepText(step, result, found, paint))
  }
  say(printedText(lines, world, paint))
  const text =
    failed === 0 ? paint("green", "All 8 requests went as told.") : paint("red", `${failed} of 8 went wrong.`)
  say(`\n${text}\n`)
  return { stage, failed }
}

async function setUp(place: ProcessPlace, processes: { stop(): Promise<void> }[], world: World): Promise<Stage> {
  const own = <P extends { stop(): Promise<void> }>(started: P): P => {
    processes.push(started)
    return started
  }
  const confdir = join(place.cwd, "confdir")
  const cloudConfdir = join(place.cwd, "cloud")
  const local = own(new DemoChild("local-host", [], place))
  const cloud = own(new DemoChild("cloud", [cloudConfdir], place))
  const [{ port: localPort }, { port: cloudPort }] = await Promise.all([local.next("ready"), cloud.next("ready")])
  const args = ["-s", "conductor", "-p", "0", "--confdir", confdir]
  args.push("--set", `conductor.localUrl=http://127.0.0.1:${localPort}`)
  args.push("--connect-to", `api.openai.com:443:127.0.0.1:${cloudPort}`)
  args.push("--upstream-ca", caPaths(cloudConfdir).certPem)
  const env = world.out.isTerminal ? { FORCE_COLOR: "1", ...place.env } : place.env
  const proxy = own(new DemoProxy(args, { ...place, env }))
  const proxyUrl = await proxy.start()
  const client = own(new DemoChild("client", [proxyUrl, caPaths(confdir).certPem], place))
  const seen: Seen[] = []
  for (const host of [local, cloud])
    host.onMessage((message) => {
      if (message.kind === "seen") seen.push(message)
    })
  return { local, cloud, proxy, client, proxyUrl, confdir, seen }
}

/** One request, to its end, with what everybody says of it. */
async function take({ job }: Step, { client, proxy, seen }: Stage): Promise<Result> {
  seen.splice(0)
  const answered = client.next("outcome")
  client.send(job)
  const outcome = await answered
  const line = await proxy.line()
  return { outcome, seen: seen.splice(0), line }
}

function opening({ proxyUrl }: Stage, paint: Paint): string {
  const rows = [
    ["local host", `simulated, model ${LOCAL_SCRIPT.model}`],
    ["cloud", `simulated, answers as https://api.openai.com`],
    ["llmproxy", `${proxyUrl}: local below ${THRESHOLD.toLocaleString("en-US")} tokens, else cloud`],
    ["client", "speaks OpenAI's chat API, through undici"],
  ]
  const lines = rows.map(([name = "", text = ""]) => `  ${paint("dim", name.padEnd(10))}  ${text}\n`)
  const title = "llmproxy's main job, on this machine alone: no network, no key."
  return `${paint("bold", title)}\n\n${lines.join("")}`
}

function doorText(door: Door, proxyUrl: string): string {
  return door === "interception"
    ? "HTTPS interception: the client asks https://api.openai.com, through the proxy"
    : `Base URL: the client asks ${proxyUrl}/v1`
}

function stepText({ size, host, job }: Step, { outcome, seen }: Result, found: string[], paint: Paint): string {
  const [request] = seen
  const pieces = outcome.pieces === 1 ? "1 piece" : `${outcome.pieces} pieces`
  const rows = [
    ["received", request === undefined ? "nothing" : receivedText(request, outcome)],
    ["why", clean(outcome.reason)],
    ["answer", `${pieces}: ${clean(outcome.text, ANSWER_CHARS_MAX)}`],
    ...found.map((text) => ["but", paint("red", clean(text))]),
  ]
  const sign = found.length === 0 ? paint("green", "✓") : paint("red", "✗")
  const target = host === "local" ? paint("green", "the local host") : paint("magenta", "the cloud")
  const lines = rows.map(([name = "", text = ""]) => `      ${paint("dim", name.padEnd(8))}  ${text}\n`)
  return `  ${sign} ${size}, ${job.stream ? "streamed" : "not streamed"}: to ${target}\n${lines.join("")}`
}

function receivedText({ path, bytes, sha256, key }: Seen, outcome: Outcome): string {
  const what = sha256 === outcome.sha256 ? "unchanged" : "rewritten for it"
  return `POST ${path}, ${bytes} bytes ${what}, ${key ? "with its" : "no"} key`
}

/** The proxy prints whole lines to a pipe: they are folded here. */
function printedText(lines: readonly string[], { out }: World, paint: Paint): string {
  const columns = out.columns === undefined ? undefined : out.columns - LEAD.length
  const shown = lines.map((line) => folded(line, columns).replace(/^(?=.)/gm, LEAD))
  return `\n${paint("bold", "What the proxy printed meanwhile:")}\n${shown.join("")}`
}

/** A line of the proxy's, which knows no terminal, with its line break. */
function folded(line: string, columns: number | undefined): string {
  return fold(line.split(/ {2,}/), columns)
}

function invitation({ proxyUrl, confdir }: Stage, paint: Paint): string {
  const port = new URL(proxyUrl).port
  const body = '{"model":"gpt-4o","messages":[{"role":"user","content":"Hello"}]}'
  return `
${paint("bold", "It stays up: point a client at it.")}

  ${paint("dim", "by its base URL")}
    curl ${proxyUrl}/v1/chat/completions \\
      -d '${body}'
    export OPENAI_BASE_URL=${proxyUrl}/v1 OPENAI_API_KEY=sk-demo

  ${paint("dim", "by interception, in another shell")}
    eval "$(llmproxy env -p ${port} --confdir ${shellQuote(confdir)})"

Ctrl-C ends it. What passes through is printed below.

`
}
