/**
 * `llmproxy doctor`: looks at everything that the main job needs, says what it found and what to do, changes nothing.
 * Exit status 1 when something is broken.
 */
import { createServer } from "node:net"
import { loadCa } from "../../certs/ca.ts"
import { isTrusted } from "../../certs/trust.ts"
import { systemCodeOf } from "../base/errors.ts"
import { printable } from "../base/log.ts"
import { Redactor } from "../base/secrets/redactor.ts"
import { CORE_OPTIONS, settingsFrom } from "../options/core.ts"
import { resolveOptions } from "../options/resolve.ts"
import type { Command, CommandLine } from "./command.ts"
import { makeAsk } from "./doctor/ask.ts"
import type { Check, Finding, Mark, Patient } from "./doctor/check.ts"
import { checkClients } from "./doctor/clients.ts"
import { checkCloud } from "./doctor/cloud.ts"
import { conductorValues } from "./doctor/conductor-values.ts"
import { checkLocal } from "./doctor/local.ts"
import { checkLocalModel, llamaPlace } from "./doctor/local-model.ts"
import { checkCa, checkNode, checkNoProxy, checkPort } from "./doctor/machine.ts"
import { checkRedirect, redirectRules } from "./doctor/redirect.ts"
import { checkRoots, holdsCa } from "./doctor/roots.ts"
import { PROXY_FLAGS, sourcesOf } from "./proxy-flags.ts"
import { type Colour, type Paint, paintFor } from "./terminal/paint.ts"
import { wrap } from "./terminal/wrap.ts"
import type { World } from "./world.ts"

/** One after the other: the check of the port listens there for a moment, where the next one looks for a server. */
const MACHINE_CHECKS: readonly Check[] = [
  checkNode,
  checkPort,
  checkCa,
  checkRoots,
  checkNoProxy,
  checkClients,
  (who) => checkRedirect(who),
  checkLocalModel,
]
/** At once: they wait for others. */
const NETWORK_CHECKS: readonly Check[] = [checkLocal, checkCloud]
const SIGNS: Readonly<Record<Mark, readonly [string, Colour]>> = {
  good: ["✓", "green"],
  bad: ["✗", "red"],
  note: ["–", "yellow"],
}

/** The options that change what there is to be looked at, or how. */
const LOOKED_AT = ["port", "host", "mode", "base-upstream", "connect-to", "upstream-ca", "insecure"]

export const doctorCommand: Command = {
  name: "doctor",
  usage: "llmproxy doctor [options]",
  help: "check local model servers, the cloud key, the CA, the port and the environment",
  flags: Object.fromEntries(
    [...LOOKED_AT, "set", "config", "confdir", "dotenv"].map((name) => [
      name,
      PROXY_FLAGS[name] ?? { type: "text", help: "" },
    ]),
  ),
  async run(line, world) {
    const paint = await paintFor(world.env, world.out.isTerminal)
    const patient = await patientOf(line, world)
    const status = await examine(patient, world, paint)
    world.out.write(redirectRules(patient.values, process.getuid?.()))
    return status
  },
}

/** Runs all checks, prints their findings in order. Resolves to the exit status. */
export async function examine(patient: Patient, world: Pick<World, "out">, paint: Paint): Promise<number> {
  let broken = 0
  const redactor = new Redactor()
  redactor.know([patient.conductor.localKey ?? "", patient.conductor.cloudKey ?? ""])
  const print = (findings: readonly Finding[]) => {
    broken += findings.filter(({ mark }) => mark === "bad").length
    for (const finding of findings) world.out.write(findingText(finding, paint, world.out.columns, redactor))
  }
  for (const check of MACHINE_CHECKS) print(await check(patient))
  const running = NETWORK_CHECKS.map((check) => check(patient))
  for (const findings of running) print(await findings)
  const things = broken === 1 ? "1 thing is" : `${broken} things are`
  world.out.write(`\n${broken === 0 ? "Nothing is" : things} broken.\n`)
  return broken === 0 ? 0 : 1
}

/** A finding in lines that fit; what follows the first is indented. */
export function findingText(
  { mark, text, fix }: Finding,
  paint: Paint,
  columns: number | undefined,
  redactor = new Redactor(),
): string {
  const [sign, colour] = SIGNS[mark]
  const width = columns === undefined ? Number.POSITIVE_INFINITY : columns - 2
  const shown = (said: string) => printable(redactor.text(said))
  const lines = wrap(shown(text), width).map((line, i) => `${i === 0 ? paint(colour, sign) : " "} ${line}\n`)
  const fixes = fix === undefined ? [] : wrap(`→ ${shown(fix)}`, width).map((line) => `  ${paint("dim", line)}\n`)
  return [...lines, ...fixes].join("")
}

async function patientOf(line: CommandLine, world: World): Promise<Patient> {
  const { sources, confdir } = await sourcesOf(line, world)
  const clock = () => world.clock.now()
  const values = resolveOptions(undefined, CORE_OPTIONS, sources)
  const { fetchAs } = await import("./doctor/fetch.ts") // Only here: undici is large.
  return {
    env: world.env,
    clock: world.clock,
    nodeVersion: world.nodeVersion,
    confdir,
    values,
    conductor: conductorValues(sources),
    llama: llamaPlace(sources),
    ask: makeAsk(world.clock, fetchAs(settingsFrom(values))),
    listens: tryListening,
    loadCa: () => loadCa(confdir, { clock }),
    isTrusted: (ca) => isTrusted(ca, world.platform),
    holdsCa,
  }
}

/** Listens for a moment, which is the only true answer to whether one could. */
export function tryListening(host: string, port: number): Promise<"free" | string> {
  return new Promise((resolve) => {
    const server = createServer()
    server.on("error", (error) => resolve(systemCodeOf(error) ?? error.message))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve("free")))
  })
}
