/**
 * Reads the text of a CA file: a private key and certificates in PEM, in any order, made by us or by the user.
 * Everything that would later fail in a client's handshake, where nobody sees why, is refused here in one line.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto"
import { messageOf, StartError } from "../lib/base/errors.ts"
import { type IssuerFacts, issuerFacts, type Signer, signerFor } from "./certificate.ts"

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----/gs
const REPLACE = "remove the file to make a new CA, and trust that one"

export interface CaMaterial {
  /** The certificate that signs leaves, its key, and how that key signs. */
  readonly cert: X509Certificate
  readonly key: KeyObject
  readonly signer: Signer
  readonly facts: IssuerFacts
  /** What a server sends after a leaf, `cert` first: empty when `cert` is a root. */
  readonly chain: readonly X509Certificate[]
  /** The root where the file holds it, else `cert`. */
  readonly anchor: X509Certificate
}

/** Throws StartError: what is wrong with the file at `path`, and what to do. `now` is in epoch milliseconds. */
export function readCa(text: string, path: string, now: number): CaMaterial {
  try {
    return understand(text, now)
  } catch (error) {
    const [why, todo] =
      error instanceof Unusable ? [error.message, error.todo] : [`it is damaged (${messageOf(error)})`, REPLACE]
    throw new StartError(`use the CA ${path}: ${why}; ${todo}`, { cause: error })
  }
}

class Unusable extends Error {
  readonly todo: string

  constructor(why: string, todo = REPLACE) {
    super(why)
    this.todo = todo
  }
}

function understand(text: string, now: number): CaMaterial {
  const blocks = text.match(PEM_BLOCK) ?? []
  const key = readKey(blocks)
  const certs = blocks
    .filter((block) => block.startsWith("-----BEGIN CERTIFICATE-----"))
    .map((block) => new X509Certificate(block))
  if (certs.length === 0) throw new Unusable("it holds no certificate")
  const cert = certs.find((each) => each.checkPrivateKey(key))
  if (cert === undefined) throw new Unusable("its key does not belong to its certificate")
  // OpenSSL's check: CA:TRUE, and keyCertSign where there is a KeyUsage.
  if (!cert.ca) throw new Unusable("its certificate is not a CA's", "it needs CA:TRUE and keyCertSign")
  const signer = signerFor(key)
  if (signer === undefined)
    throw new Unusable(`a key of type ${key.asymmetricKeyType} cannot sign leaves`, "use EC, RSA or Ed25519")
  const route = routeToRoot(cert, certs)
  for (const each of route) checkDates(each, now)
  const last = route.at(-1)
  return {
    cert,
    key,
    signer,
    facts: issuerFacts(cert),
    chain: route.filter((each) => !isRoot(each)),
    anchor: last !== undefined && isRoot(last) ? last : cert,
  }
}

function readKey(blocks: string[]): KeyObject {
  const block = blocks.find((each) => /^-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(each))
  if (block === undefined) throw new Unusable("it holds no private key")
  if (block.includes("ENCRYPTED")) throw new Unusable("its key has a passphrase", "remove that with openssl pkey")
  return createPrivateKey(block)
}

/** `cert` and those of `certs` that lead from it to a root, each followed by its issuer. */
function routeToRoot(cert: X509Certificate, certs: X509Certificate[]): X509Certificate[] {
  const route = [cert]
  for (let last = cert; !isRoot(last); ) {
    const issuer = certs.find((each) => !route.includes(each) && last.checkIssued(each))
    if (issuer === undefined) break
    route.push(issuer)
    last = issuer
  }
  return route
}

function isRoot(cert: X509Certificate): boolean {
  return cert.checkIssued(cert)
}

function checkDates(cert: X509Certificate, now: number): void {
  const from = Date.parse(cert.validFrom)
  const to = Date.parse(cert.validTo)
  if (now > to) throw new Unusable(`it expired on ${new Date(to).toISOString()}`)
  if (now < from)
    throw new Unusable(`it is not valid before ${new Date(from).toISOString()}`, "check this machine's clock")
}
