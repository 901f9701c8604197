/**
 * The certificate authority: made once per confdir, then read from it. Every llmproxy of one user shares it, also
 * when several start at the same moment for the first time. A user's own CA, put in the same file, serves as well.
 * What it signs is leaf.ts's affair; how clients come to trust it is trust.ts's.
 */
import { generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto"
import { readFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { FlowError, messageOf, StartError, systemCodeOf, UsageError } from "../lib/base/errors.ts"
import { type CaMaterial, readCa } from "./ca-file.ts"
import {
  caConstraints,
  caKeyUsage,
  distinguishedName,
  issue,
  keyIdentifier,
  nameConstraints,
  publicKeyInfo,
  signerFor,
  subjectKeyId,
} from "./certificate.ts"
import {
  constraintsFor,
  type NameConstraints,
  permits,
  readConstraints,
  sameConstraints,
  writeConstraints,
} from "./constraints.ts"
import { makePrivateDirectory, makePrivateFile, writeOnce, writeWhole } from "./files.ts"
import { parseHostName } from "./name.ts"
import { certificateOnlyPkcs12 } from "./pkcs12.ts"

const DAY_MS = 86_400_000
// 10 years, as browsers and their users are used to; two days back for clients whose clock is behind ours.
const CA_DAYS = 3650
const BACKDATE_DAYS = 2
const UNIQUE_BYTES = 4
const PUBLIC_FILE = 0o644
// Long enough before the end to make a new CA and trust it everywhere.
const WARN_BEFORE_MS = 30 * DAY_MS

export interface CaPaths {
  /** Private key and certificate, PEM, 0600. */
  readonly pem: string
  /** The certificate alone: PEM, DER and PKCS#12 without a password. */
  readonly certPem: string
  readonly cer: string
  readonly p12: string
}

/** The CA's key and certificates, as ca-file.ts reads them, and what llmproxy knows beside. */
export interface Ca extends CaMaterial {
  /** `anchor`, the certificate that clients are to trust, in PEM. */
  readonly certPem: string
  /** SHA-256 of `anchor`, as "AB:CD:...". */
  readonly fingerprint256: string
  readonly paths: CaPaths
  /** True where this call made the CA. */
  readonly created: boolean
  /** One line each, for the log. */
  readonly warnings: readonly string[]
  /** Whether the CA's name constraints let it sign for this host; false for what is no host name. */
  readonly permits: (name: string) => boolean
}

export interface CaOptions {
  /** Epoch milliseconds. */
  clock: () => number
  /** Hosts (with all names below them) and addresses that a new CA is limited to. Empty: no limit. */
  permit?: readonly string[]
}

/** The names of the CA's files in a confdir. Touches no disk. */
export function caPaths(confdir: string): CaPaths {
  const file = (name: string) => join(resolve(confdir), name)
  return {
    pem: file("llmproxy-ca.pem"),
    certPem: file("llmproxy-ca-cert.pem"),
    cer: file("llmproxy-ca-cert.cer"),
    p12: file("llmproxy-ca-cert.p12"),
  }
}

/**
 * Reads the confdir's CA, or makes one; then makes the other files that are missing or of an older CA.
 * Throws StartError where the CA cannot be read, written or used, UsageError where `permit` names no host.
 */
export async function loadOrCreateCa(confdir: string, options: CaOptions): Promise<Ca> {
  const now = options.clock()
  const paths = caPaths(confdir)
  const wanted = options.permit?.length ? parsePermit(options.permit) : undefined
  const warnings = [await makePrivateDirectory(resolve(confdir))]
  let text = await readCaFile(paths.pem)
  let created = false
  if (text === undefined) {
    const made = newCa(now, wanted)
    created = await writeOnce(paths.pem, made)
    text = created ? made : ((await readCaFile(paths.pem)) ?? "")
  }
  warnings.push(await makePrivateFile(paths.pem))
  const material = readCa(text, paths.pem, now)
  const constraints = constraintsOf(material)
  if (wanted !== undefined && !sameConstraints(wanted, constraints)) throw permitTooLate(paths.pem)
  const ca = complete(material, paths, now)
  await Promise.all([
    writeWhole(paths.certPem, ca.certPem, PUBLIC_FILE),
    writeWhole(paths.cer, ca.anchor.raw, PUBLIC_FILE),
    writePkcs12(paths.p12, ca.anchor),
  ])
  return { ...ca, created, warnings: [...warnings, ...ca.warnings].filter((warning) => warning !== undefined) }
}

/** Reads the confdir's CA and changes nothing; undefined where there is none. Throws StartError as above. */
export async function loadCa(confdir: string, options: Pick<CaOptions, "clock">): Promise<Ca | undefined> {
  const now = options.clock()
  const paths = caPaths(confdir)
  const text = await readCaFile(paths.pem)
  return text === undefined ? undefined : complete(readCa(text, paths.pem, now), paths, now)
}

/** Making it takes as long as all the rest of this file, so one that holds the certificate is left as it is. */
async function writePkcs12(path: string, cert: X509Certificate): Promise<void> {
  const present = await readFile(path).catch(() => undefined)
  if (present?.includes(cert.raw)) return
  await writeWhole(path, certificateOnlyPkcs12(cert, "llmproxy"), PUBLIC_FILE)
}

function complete(material: CaMaterial, paths: CaPaths, now: number): Ca {
  const constraints = constraintsOf(material)
  const end = Date.parse(material.cert.validTo)
  const ending = `${paths.pem}: this CA expires on ${new Date(end).toISOString()}; make a new one and trust it in time`
  return {
    ...material,
    certPem: material.anchor.toString(),
    fingerprint256: material.anchor.fingerprint256,
    paths,
    created: false,
    warnings: end - now < WARN_BEFORE_MS ? [ending] : [],
    permits: (name) => isPermitted(constraints, name),
  }
}

function constraintsOf({ facts }: CaMaterial): NameConstraints | undefined {
  return facts.nameConstraints && readConstraints(facts.nameConstraints)
}

function parsePermit(permit: readonly string[]): NameConstraints {
  try {
    return constraintsFor(permit)
  } catch (error) {
    throw new UsageError(`--permit ${permit.join(" --permit ")}: ${messageOf(error)}`, { cause: error })
  }
}

function permitTooLate(path: string): StartError {
  return new StartError(
    `--permit: ${path} was made with other limits, which cannot be changed; ` +
      "name another --confdir, or remove the file to make a new CA and trust that one",
  )
}

function isPermitted(constraints: NameConstraints | undefined, name: string): boolean {
  try {
    const host = parseHostName(name)
    return constraints === undefined || permits(constraints, host)
  } catch (error) {
    if (error instanceof FlowError) return false
    throw error
  }
}

async function readCaFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "latin1")
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return undefined
    throw new StartError(`read the CA ${path}: ${messageOf(error)}; make it readable or name another --confdir`, {
      cause: error,
    })
  }
}

/** Key and certificate of a new CA, as the text of its file. */
function newCa(now: number, constraints: NameConstraints | undefined): string {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const signer = signerFor(privateKey)
  if (signer === undefined) throw new Error("no signer for P-256")
  // Two CAs of one name confuse trust stores, which look issuers up by name.
  const name = distinguishedName({
    organization: "llmproxy",
    commonName: `llmproxy ${randomBytes(UNIQUE_BYTES).toString("hex")}`,
  })
  const spki = publicKeyInfo(publicKey)
  const extensions = [caConstraints(), caKeyUsage(), subjectKeyId(keyIdentifier(spki))]
  if (constraints !== undefined) extensions.push(nameConstraints(writeConstraints(constraints)))
  const der = issue(
    {
      issuer: name,
      subject: name,
      notBefore: now - BACKDATE_DAYS * DAY_MS,
      notAfter: now + CA_DAYS * DAY_MS,
      publicKey: spki,
      extensions,
    },
    signer,
  )
  return `${privateKey.export({ type: "pkcs8", format: "pem" })}${new X509Certificate(der)}`
}
