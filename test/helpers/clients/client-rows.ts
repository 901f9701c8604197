/**
 * The README's table of clients, as data: what each one does with the variables of `run`, and nothing that a test has
 * not seen it do. test/e2e/clients-table.test.ts compares it with the README, its neighbours with the clients.
 */

/** In which case a variable is read. */
export type Case = "both" | "lower" | "upper" | "no"

export interface Row {
  /** HTTP_PROXY for http:// URLs, HTTPS_PROXY and ALL_PROXY for https:// ones. */
  readonly http: Case
  readonly https: Case
  readonly all: Case
  readonly no: Case
  /** Each of which alone makes it trust the CA, while all the others do not. */
  readonly trust: readonly string[]
  /** Whether a request to this machine comes through the proxy where NO_PROXY does not name it. */
  readonly local: "yes" | "no"
  /** What it speaks to https:// hosts through the proxy. */
  readonly version: "HTTP/1.1" | "HTTP/2.0"
}

const PYTHON = { http: "both", https: "both", no: "both", local: "yes", version: "HTTP/1.1" } as const
const NODE = { http: "both", https: "both", all: "no", no: "both", local: "yes", version: "HTTP/1.1" } as const
const NODE_TRUST = { ...NODE, trust: ["NODE_EXTRA_CA_CERTS"] } as const

/** In the README's order. */
export const ROWS = {
  curl: {
    http: "lower",
    https: "both",
    all: "both",
    no: "both",
    trust: ["CURL_CA_BUNDLE", "SSL_CERT_FILE"],
    local: "yes",
    version: "HTTP/2.0",
  },
  wget: {
    http: "lower",
    https: "lower",
    all: "no",
    no: "lower",
    trust: ["SYSTEM_WGETRC"],
    local: "yes",
    version: "HTTP/1.1",
  },
  git: {
    http: "lower",
    https: "both",
    all: "both",
    no: "both",
    trust: ["GIT_SSL_CAINFO"],
    local: "yes",
    version: "HTTP/2.0",
  },
  "Python urllib": { ...PYTHON, all: "no", trust: ["SSL_CERT_FILE"] },
  "Python requests": { ...PYTHON, all: "both", trust: ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] },
  "Python httpx": { ...PYTHON, all: "both", trust: ["SSL_CERT_FILE"] },
  "Python openai": { ...PYTHON, all: "both", trust: ["SSL_CERT_FILE"] },
  "Node fetch": NODE_TRUST,
  "Node undici, `EnvHttpProxyAgent`": NODE_TRUST,
  "Node openai": NODE_TRUST,
  "Node @anthropic-ai/sdk": NODE_TRUST,
  "Node ai": NODE_TRUST,
  "Claude Code": { ...NODE, trust: ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"] },
  Codex: { ...PYTHON, all: "both", trust: ["CODEX_CA_CERTIFICATE", "SSL_CERT_FILE"], version: "HTTP/2.0" },
} as const satisfies Readonly<Record<string, Row>>

export type ClientName = keyof typeof ROWS

/** A line of the README's table. */
export function rowText(name: string, { http, https, all, no, trust, local, version }: Row): string {
  const roots = trust.map((variable) => `\`${variable}\``).join(", ")
  return `| ${name} | ${http} | ${https} | ${all} | ${no} | ${roots} | ${local} | ${version === "HTTP/2.0" ? "2" : "1.1"} |`
}
