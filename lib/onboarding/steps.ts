/**
 * What a person runs or taps to make a device trust the CA and to point a program at the proxy. The commands for
 * systems are those of `llmproxy ca trust`; programs that honour a variable need no change of the system.
 */
import { BUNDLE_NAME, type Distro, shellQuote, type TrustStep, trustCommands } from "../../certs/trust.ts"

/** The certificate as it lies where the browser has saved it. */
const CERT_FILE = "llmproxy-ca-cert.pem"

export interface Guide {
  readonly name: string
  /** In the order in which they are done; text between commands. */
  readonly steps: readonly GuideStep[]
}

interface GuideStep {
  readonly text: string
  readonly commands: readonly string[]
}

/** How each system comes to trust a certificate that was downloaded from the page. */
export function platformGuides(): Guide[] {
  const linux = (name: string, distro: Distro): Guide => ({ name, steps: systemSteps("linux", distro).slice(0, 1) })
  const browsers = systemSteps("linux", "debian").filter(({ text }) => /Chromium|Firefox/.test(text))
  const java = systemSteps("linux", "debian").filter(({ text }) => text.startsWith("Java"))
  return [
    { name: "macOS", steps: systemSteps("darwin").slice(0, 2) },
    { name: "Windows", steps: systemSteps("win32").slice(0, 2) },
    linux("Debian, Ubuntu", "debian"),
    linux("Fedora, RHEL", "fedora"),
    linux("Arch", "arch"),
    linux("SUSE", "suse"),
    { name: "Chrome and Firefox on Linux", steps: browsers },
    {
      name: "Firefox, by hand",
      steps: [
        said(
          "Settings, Privacy & Security, Certificates, View Certificates, Authorities, Import: choose the PEM file.",
        ),
        said("Tick “Trust this CA to identify websites”."),
      ],
    },
    {
      name: "iPhone, iPad",
      steps: [
        said("Open this page in Safari, tap the CER file and allow the download of the profile."),
        said("Settings, General, VPN & Device Management: install the profile."),
        said("Settings, General, About, Certificate Trust Settings: switch on full trust for llmproxy."),
        said("Settings, Wi-Fi, your network, Configure Proxy, Manual: enter the proxy’s address and port."),
      ],
    },
    {
      name: "Android",
      steps: [
        said(
          "Tap the CER file to save it. Settings, Security, Encryption & credentials, Install a certificate, CA certificate.",
        ),
        said("Settings, Wi-Fi, your network, Proxy, Manual: enter the proxy’s address and port."),
        said("Browsers use it. An app does only if it was built to trust certificates that the user has added."),
      ],
    },
    { name: "Java", steps: java },
  ]
}

/** How each program is pointed at the proxy, without a change of the system. `proxy`: its URL. */
export function clientGuides(proxy: string): Guide[] {
  const url = shellQuote(proxy)
  const cert = `"$PWD/${CERT_FILE}"`
  const vars = (...names: string[]) => [`HTTPS_PROXY=${url}`, ...names.map((name) => `${name}=${cert}`)].join(" ")
  return [
    guide("On the proxy’s own machine", "llmproxy run -- my-agent"),
    guide("Any SDK with a base URL, no certificate needed", `OPENAI_BASE_URL=${shellQuote(`${proxy}/v1`)} my-agent`),
    guide("Claude Code", `${vars("NODE_EXTRA_CA_CERTS")} claude`),
    guide("Codex", `${vars("CODEX_CA_CERTIFICATE", "SSL_CERT_FILE")} codex`),
    guide("curl", `curl --proxy ${url} --cacert ${CERT_FILE} https://api.openai.com/v1/models`),
    guide("Node 22.21, 24 and later", `NODE_USE_ENV_PROXY=1 ${vars("NODE_EXTRA_CA_CERTS")} node app.js`),
    guide("Python (httpx, requests, openai)", `${vars("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")} python app.py`),
    guide("git", `git -c http.proxy=${url} -c http.sslCAInfo=${cert} clone https://host/repository.git`),
    guide("Java", javaCommand(proxy)),
  ]
}

function systemSteps(platform: NodeJS.Platform, distro?: Distro): GuideStep[] {
  // The bundle lies on the proxy's machine only.
  const here = ({ commands }: TrustStep) => !commands.some((command) => command.includes(BUNDLE_NAME))
  return trustCommands(platform, CERT_FILE, distro)
    .filter(here)
    .map(({ title, commands }) => ({ text: title, commands }))
}

function javaCommand(proxy: string): string {
  const { hostname, port } = new URL(proxy)
  return `java -Dhttps.proxyHost=${shellQuote(hostname)} -Dhttps.proxyPort=${port} -jar app.jar`
}

function guide(name: string, command: string): Guide {
  return { name, steps: [{ text: "", commands: [command] }] }
}

function said(text: string): GuideStep {
  return { text, commands: [] }
}
