/**
 * How clients come to trust the CA: the commands for each platform's stores, which the user runs, and the bundle of
 * the system's roots plus our CA for programs that take a file instead. Nothing here changes a trust store.
 */
import { access, constants, readFile, stat } from "node:fs/promises"
import path from "node:path"
import * as tls from "node:tls"
import type { Ca } from "./ca.ts"
import { writeWhole } from "./files.ts"
import { rootsOfFolders } from "./root-folders.ts"
import { SYSTEM_BUNDLES } from "./system-bundles.ts"

export const BUNDLE_NAME = "llmproxy-ca-bundle.pem"
const BUNDLE_MODE = 0o644

/** Variables that name a file of roots to add: our CA alone is enough there. */
export const ADDING_VARIABLES = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"] as const

/** Variables that name a file to use in place of the system's roots: they need the bundle. */
export const BUNDLE_VARIABLES = [
  "SSL_CERT_FILE",
  "REQUESTS_CA_BUNDLE",
  "CURL_CA_BUNDLE",
  "GIT_SSL_CAINFO",
  "CARGO_HTTP_CAINFO",
  "CODEX_CA_CERTIFICATE",
  "AWS_CA_BUNDLE",
] as const

/** A family of Linux distributions, by where it keeps its roots. */
export type Distro = "debian" | "fedora" | "arch" | "suse"

export interface TrustStep {
  /** What the commands are for. */
  title: string
  /** For a POSIX shell, or for PowerShell on win32. */
  commands: string[]
}

/**
 * The commands that make this platform's stores trust the certificate, each store a step; nothing is run.
 * On Linux without a `distro`, those of every family.
 */
export function trustCommands(platform: NodeJS.Platform, certPath: string, distro?: Distro): TrustStep[] {
  if (platform === "win32") return windowsSteps(certPath)
  const cert = shellQuote(certPath)
  const system = platform === "darwin" ? macosSteps(cert) : linuxSteps(cert, distro)
  return [...system, javaStep(cert), environmentStep(certPath)]
}

function macosSteps(cert: string): TrustStep[] {
  const add = "security add-trusted-cert"
  const policies = "-r trustRoot -p ssl -p basic"
  return [
    {
      title: "macOS, for you (Safari, Chrome, Firefox, Go, Swift)",
      commands: [`${add} ${policies} -k "$HOME/Library/Keychains/login.keychain-db" ${cert}`],
    },
    {
      title: "macOS, for all users",
      commands: [`sudo ${add} -d ${policies} -k /Library/Keychains/System.keychain ${cert}`],
    },
  ]
}

const LINUX_SYSTEM: Record<Distro, { title: string; commands: (cert: string) => string[] }> = {
  debian: {
    title: "Debian, Ubuntu, Alpine: the system's roots (curl, git, Python's ssl, Go, .NET)",
    commands: (cert) => [
      `sudo cp ${cert} /usr/local/share/ca-certificates/llmproxy-ca.crt`,
      "sudo update-ca-certificates",
    ],
  },
  fedora: {
    title: "Fedora, RHEL: the system's roots (curl, git, Python's ssl, Go, .NET)",
    commands: (cert) => [`sudo cp ${cert} /etc/pki/ca-trust/source/anchors/llmproxy-ca.pem`, "sudo update-ca-trust"],
  },
  arch: {
    title: "Arch: the system's roots (curl, git, Python's ssl, Go, .NET)",
    commands: (cert) => [`sudo trust anchor --store ${cert}`],
  },
  suse: {
    title: "SUSE: the system's roots (curl, git, Python's ssl, Go, .NET)",
    commands: (cert) => [`sudo cp ${cert} /etc/pki/trust/anchors/llmproxy-ca.pem`, "sudo update-ca-certificates"],
  },
}

function linuxSteps(cert: string, distro: Distro | undefined): TrustStep[] {
  const families = distro === undefined ? Object.values(LINUX_SYSTEM) : [LINUX_SYSTEM[distro]]
  const add = `-A -t C,, -n llmproxy -i ${cert}`
  const profiles = '"$HOME"/.mozilla/firefox/*/cert9.db "$HOME"/snap/firefox/common/.mozilla/firefox/*/cert9.db'
  return [
    ...families.map(({ title, commands }) => ({ title, commands: commands(cert) })),
    {
      title: "Chromium, Chrome (certutil is in libnss3-tools or nss-tools)",
      commands: [
        `[ -f "$HOME/.pki/nssdb/cert9.db" ] || { mkdir -p "$HOME/.pki/nssdb" && certutil -d sql:"$HOME/.pki/nssdb" -N --empty-password; }`,
        `certutil -d sql:"$HOME/.pki/nssdb" ${add}`,
      ],
    },
    {
      title: "Firefox, every profile",
      commands: [`for db in ${profiles}; do [ -f "$db" ] && certutil -d sql:"$(dirname "$db")" ${add}; done`],
    },
  ]
}

function windowsSteps(certPath: string): TrustStep[] {
  const cert = powershellQuote(certPath)
  const bundle = powershellQuote(path.win32.join(path.win32.dirname(certPath), BUNDLE_NAME))
  return [
    {
      title: "Windows, for you (Edge, Chrome, Firefox, .NET, Go), in PowerShell",
      commands: [`Import-Certificate -FilePath ${cert} -CertStoreLocation Cert:\\CurrentUser\\Root`],
    },
    {
      title: "Windows, for all users, in PowerShell as administrator",
      commands: [`certutil -addstore -f Root ${cert}`],
    },
    {
      title: "Java, in PowerShell",
      commands: [`keytool -importcert -noprompt -cacerts -storepass changeit -alias llmproxy -file ${cert}`],
    },
    {
      title: "Node, Python, curl, git and others, in this PowerShell only",
      commands: [
        ...ADDING_VARIABLES.map((name) => `$env:${name} = ${cert}`),
        ...BUNDLE_VARIABLES.map((name) => `$env:${name} = ${bundle}`),
      ],
    },
  ]
}

function javaStep(cert: string): TrustStep {
  const keytool = "keytool -importcert -noprompt -cacerts -storepass changeit -alias llmproxy"
  return { title: "Java (put sudo in front for a system-wide JDK)", commands: [`${keytool} -file ${cert}`] }
}

function environmentStep(certPath: string): TrustStep {
  const bundle = shellQuote(path.posix.join(path.posix.dirname(certPath), BUNDLE_NAME))
  return {
    title: "Node, Python, curl, git and others, in this shell only",
    commands: [
      ...ADDING_VARIABLES.map((name) => `export ${name}=${shellQuote(certPath)}`),
      ...BUNDLE_VARIABLES.map((name) => `export ${name}=${bundle}`),
    ],
  }
}

/** One word of a POSIX shell, whatever is in it. */
export function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** One word of PowerShell, whatever is in it. It takes the typographic single quotes for the plain one: all are doubled. */
export function powershellQuote(text: string): string {
  return `'${text.replace(/['\u2018-\u201b]/g, "$&$&")}'`
}

/** The family of this Linux by /etc/os-release (its ID and ID_LIKE); undefined where it is none we know. */
export async function readDistro(file = "/etc/os-release"): Promise<Distro | undefined> {
  const text = await readFile(file, "utf8").catch(() => "")
  const ids = [...text.matchAll(/^ID(?:_LIKE)?=["']?([^"'\n]*)/gm)].flatMap((match) => (match[1] ?? "").split(/\s+/))
  const family = (names: string[]) => names.some((name) => ids.includes(name))
  if (family(["debian", "ubuntu", "alpine"])) return "debian"
  if (family(["fedora", "rhel", "centos"])) return "fedora"
  if (family(["arch"])) return "arch"
  if (family(["suse", "opensuse"])) return "suse"
  return undefined
}

/** The file with the system's roots: SSL_CERT_FILE where it can be read, else the first usual place that can. */
export async function findSystemBundle(env: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  const named = env.SSL_CERT_FILE
  for (const file of named ? [named, ...SYSTEM_BUNDLES] : SYSTEM_BUNDLES) {
    const found = await stat(file).catch(() => undefined)
    if (!found?.isFile()) continue
    const readable = await access(file, constants.R_OK).then(
      () => true,
      () => false,
    )
    if (readable) return file
  }
  return undefined
}

export interface BundleOptions {
  /** Where SSL_CERT_FILE and its like are looked up. Default: this process's. */
  env?: NodeJS.ProcessEnv
  /** The file with the system's roots. Default: what findSystemBundle finds. */
  system?: string | undefined
}

/**
 * Writes the confdir's bundle and returns its path: the system's roots (else Node's), the roots in the files that
 * these variables already name, those of SSL_CERT_DIR, and our CA, each once. A program that is given the bundle loses no root it had.
 */
export async function writeCaBundle(
  confdir: string,
  ca: Pick<Ca, "certPem">,
  options: BundleOptions = {},
): Promise<string> {
  const target = path.resolve(confdir, BUNDLE_NAME)
  // Inside `llmproxy run` the variables name this very file; its roots are read from the system again.
  const env = Object.fromEntries(Object.entries(options.env ?? process.env).filter(([, value]) => value !== target))
  const system = "system" in options ? options.system : await findSystemBundle(env)
  const extra = [...ADDING_VARIABLES, ...BUNDLE_VARIABLES]
    .map((name) => env[name])
    .filter((file) => file !== undefined && file !== system)
  const texts = [system === undefined ? nodeRoots() : await readFile(system, "latin1")]
  for (const file of new Set(extra)) if (file) texts.push(await readFile(file, "latin1").catch(() => ""))
  texts.push(...rootsOfFolders(env.SSL_CERT_DIR))
  const certificates = new Map([...texts, ca.certPem].flatMap(pemCertificates).map((pem) => [pemBody(pem), pem]))
  await writeWhole(target, `${[...certificates.values()].join("\n")}\n`, BUNDLE_MODE)
  return target
}

/**
 * Whether the machine's roots hold our CA. Told on Linux only: macOS and Windows keep theirs where no file shows
 * them. A browser with a store of its own may say otherwise.
 */
export async function isTrusted(
  ca: Pick<Ca, "certPem">,
  platform: NodeJS.Platform = process.platform,
  bundle?: string,
): Promise<"yes" | "no" | "unknown"> {
  if (platform !== "linux") return "unknown"
  const file = bundle ?? (await findSystemBundle({}))
  const text = file && (await readFile(file, "latin1").catch(() => undefined))
  if (!text) return "unknown"
  const ours = pemBody(ca.certPem)
  return pemCertificates(text).some((pem) => pemBody(pem) === ours) ? "yes" : "no"
}

/** The roots of the operating system's store where this Node can list them (22.15 and later), else Node's own. */
function nodeRoots(): string {
  const list = "getCACertificates" in tls ? tls.getCACertificates : undefined
  const system: unknown = typeof list === "function" ? list("system") : []
  return [...tls.rootCertificates, ...(Array.isArray(system) ? system : [])].join("\n")
}

function pemCertificates(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
}

function pemBody(pem: string): string {
  return pem.replace(/-----[A-Z ]+-----|\s/g, "")
}
