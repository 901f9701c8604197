/**
 * What `--mode transparent` needs of the machine: the kernel's word on where connections were going, and the packet
 * filter's rules that lead them here. The rules are printed for a person to read and run; nothing is changed.
 */
import { isIP } from "node:net"
import { type ModeAddress, modeAddresses, parseMode } from "../../proxy/session/mode.ts"
import { loadTransparent } from "../../proxy/session/transparent.ts"
import type { Finding, Patient } from "./check.ts"

/** The ports whose connections are led to the proxy. */
const PORTS = "{ 80, 443 }"

/** Whether destinations are known; nothing where no listener is transparent. */
export async function checkRedirect({ values }: Patient, load = loadTransparent): Promise<Finding[]> {
  if (transparentAddresses(values).length === 0) return []
  const transparent = await load()
  if (transparent.kind === "kernel")
    return [{ mark: "good", text: "transparent: the system tells where redirected connections were going" }]
  const text = `transparent: ${transparent.why}: hosts are known by SNI and Host alone`
  return [{ mark: "note", text, fix: "on Linux, install koffi where llmproxy is installed: npm install koffi" }]
}

/** Rules for each transparent listener, for `nft -f`. Empty without one. `uid`: of who runs the proxy. */
export function redirectRules(values: Patient["values"], uid: number | undefined): string {
  return transparentAddresses(values)
    .map(({ host, port }) => rulesText(host, port, uid))
    .join("")
}

type Listens = Pick<Patient["values"], "host" | "port" | "mode">

function transparentAddresses({ host, port, mode }: Listens): readonly ModeAddress[] {
  const all = modeAddresses(mode.map(parseMode), { host, port })
  return all.filter((one) => one.mode.kind === "transparent")
}

function rulesText(host: string, port: number, uid: number | undefined): string {
  const isHere = host === "localhost" || host === "::1" || host.startsWith("127.")
  const family = host === "::" ? "" : `meta nfproto ${isIP(host) === 6 ? "ipv6" : "ipv4"} `
  // A connection to an address of this machine is for a server that runs here, or for the proxy.
  const redirect = `    fib daddr type local return\n    ${family}tcp dport ${PORTS} redirect to :${port}\n`
  const prerouting =
    "  chain prerouting {\n" +
    "    # of other machines, for which this one is the gateway\n" +
    `    type nat hook prerouting priority -100; policy accept;\n${redirect}  }\n`
  return (
    `\n# Rules that lead connections to ${host}:${port}. Run llmproxy as a user of its own: what that user connects to\n` +
    "# is left alone, or the proxy would be led to itself. To have them, as root:\n" +
    "#   llmproxy doctor -m transparent | sed -n '/^table/,/^}/p' | nft -f -\n" +
    "# To be rid of them: nft delete table inet llmproxy\n" +
    "table inet llmproxy {\n" +
    "  chain output {\n" +
    "    # of this machine\n" +
    "    type nat hook output priority -100; policy accept;\n" +
    `    meta skuid ${uid ?? "llmproxy"} return # who runs llmproxy\n` +
    `${redirect}  }\n` +
    `${isHere ? "" : prerouting}}\n`
  )
}
