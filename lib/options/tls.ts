/**
 * The options that say how we speak TLS, turned into what the sockets and the leaves need. A file that cannot be used
 * stops the start here.
 */
import type { X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import type { Ca } from "../../certs/ca.ts"
import { certificateNames, readKeyPair } from "../../certs/key-pair.ts"
import type { OwnCertificate } from "../../certs/own.ts"
import { TLS_VERSIONS, type TlsVersion, type TlsVersions } from "../../certs/tls-versions.ts"
import { UsageError, whyUnread } from "../base/errors.ts"
import { normalHost } from "../proxy/io/authority.ts"
import { NO_CLIENT_CERTIFICATES, type ProxySettings } from "../proxy/settings.ts"
import { readClientCertificates } from "../proxy/tls/client-certificates.ts"
import type { Leaves } from "../proxy/tls/interception.ts"
import type { OptionSpecs, OptionValues } from "./spec.ts"

export const TLS_OPTIONS = {
  clientCert: {
    type: "string",
    default: "",
    help: "PEM file with certificate and key for upstreams that ask for one, or a folder of files HOST.pem.",
  },
  certs: {
    type: "list",
    default: [],
    help: "[HOST=]FILE: PEM file with certificate and key to show for HOST (*.HOST, *; the certificate's own names).",
  },
  mirrorSans: {
    type: "boolean",
    default: false,
    help: "Certificates for clients name what the upstream's own does, which costs a connection for each host.",
  },
  passthroughPinned: {
    type: "boolean",
    default: false,
    help: "Relay a host unseen for ten minutes after its client has not accepted our certificate.",
  },
  tlsVersionClientMin: version("TLSv1.2", "Oldest TLS version towards clients."),
  tlsVersionClientMax: version("TLSv1.3", "Newest TLS version towards clients."),
  tlsVersionUpstreamMin: version("TLSv1.2", "Oldest TLS version towards upstreams."),
  tlsVersionUpstreamMax: version("TLSv1.3", "Newest TLS version towards upstreams."),
  keyLogFile: {
    type: "string",
    default: "",
    env: "SSLKEYLOGFILE",
    help: "File to which the secrets of all TLS connections are appended, for Wireshark.",
  },
} as const satisfies OptionSpecs

function version<const V extends TlsVersion>(preset: V, help: string) {
  return { type: "string", default: preset, choices: TLS_VERSIONS, help } as const
}

export type TlsValues = OptionValues<typeof TLS_OPTIONS>

/** Throws a UsageError that names the option. */
export function tlsSettings(
  values: TlsValues,
): Pick<ProxySettings, "clientCertificates" | "upstreamTls" | "mirrorSans" | "passthroughPinned"> {
  const { clientCert, mirrorSans, passthroughPinned, tlsVersionUpstreamMin: min, tlsVersionUpstreamMax: max } = values
  return {
    clientCertificates: clientCert === "" ? NO_CLIENT_CERTIFICATES : readClientCertificates(clientCert),
    upstreamTls: versions("tlsVersionUpstream", min, max),
    mirrorSans,
    passthroughPinned,
  }
}

/** What the leaves are made from, besides the CA. */
export interface LeafSettings {
  readonly own: readonly OwnCertificate[]
  readonly versions: TlsVersions
  /** What is worth a warning at the start. */
  readonly warnings: readonly string[]
}

/** Throws a UsageError that names the option. `now`: epoch milliseconds. */
export function leafSettings(values: TlsValues, now: number): LeafSettings {
  const own = values.certs.map((text) => ownCertificate(text, now))
  return {
    own: own.map(({ certificate }) => certificate),
    versions: versions("tlsVersionClient", values.tlsVersionClientMin, values.tlsVersionClientMax),
    warnings: own.flatMap(({ warning }) => warning ?? []),
  }
}

/** The user's own certificates, and leaves of ours for everything else. */
export async function makeLeaves(
  ca: Ca,
  { own, versions }: LeafSettings,
  clock: () => number,
): Promise<Required<Leaves>> {
  const { LeafFactory } = await import("../../certs/leaf.ts")
  const factory = new LeafFactory(ca, { clock, versions })
  if (own.length === 0)
    return { leaf: (name, further) => factory.contextFor(name, further), permits: (name) => factory.permits(name) }
  const { OwnCertificates } = await import("../../certs/own.ts")
  const certificates = new OwnCertificates(own, versions)
  return {
    leaf: (name, further) => certificates.contextFor(name) ?? factory.contextFor(name, further),
    permits: (name) => certificates.contextFor(name) !== undefined || factory.permits(name),
  }
}

function versions(option: string, min: TlsVersion, max: TlsVersion): TlsVersions {
  if (TLS_VERSIONS.indexOf(min) > TLS_VERSIONS.indexOf(max))
    throw new UsageError(`${option}Min ${min}: it is newer than ${option}Max, which is ${max}`)
  return { min, max }
}

function ownCertificate(text: string, now: number): { certificate: OwnCertificate; warning: string | undefined } {
  const [, domain, path = text] = /^((?:\*\.)?[^=/\\]+|\*)=(.+)$/s.exec(text) ?? []
  const fail = (why: string) => new UsageError(`--certs ${text}: ${why}`)
  let pem: string
  try {
    pem = readFileSync(path, "latin1")
  } catch (thrown) {
    throw fail(whyUnread(thrown))
  }
  const pair = readKeyPair(pem)
  if (typeof pair === "string") throw fail(pair)
  const { cert, key, leaf } = pair
  const names = domain === undefined ? certificateNames(leaf) : [domain.toLowerCase()]
  if (names.length === 0) throw fail("the certificate names no host; write --certs HOST=FILE")
  if (domain !== undefined && domain !== "*" && normalHost(domain.replace(/^\*\./, "")) === undefined)
    throw fail(`${domain} is no host name`)
  const warning = warningOf(leaf, now)
  return { certificate: { names, cert, key }, warning: warning && `--certs ${text}: ${warning}` }
}

function warningOf(leaf: X509Certificate, now: number): string | undefined {
  if (Date.parse(leaf.validTo) < now) return `this certificate expired on ${leaf.validTo}`
  // A self-signed one is its own CA; one that signs others makes no leaves here.
  if (leaf.ca && !leaf.checkIssued(leaf))
    return "this is a CA's certificate, shown as it is; a CA for our leaves goes into the confdir as llmproxy-ca.pem"
  return undefined
}
