/**
 * Builds and signs X.509 certificates (RFC 5280): node-forge writes the ASN.1, node:crypto signs it.
 * forge cannot sign with ECDSA, and its RSA takes 27 ms a leaf; this way takes 0.2 ms.
 * What goes into a CA or a leaf is decided in ca.ts and leaf.ts.
 */
import { constants, createHash, type KeyObject, randomBytes, sign, type X509Certificate } from "node:crypto"
import {
  type Asn1,
  bits,
  boolean,
  children,
  content,
  contextTag,
  decode,
  dottedOid,
  encode,
  integer,
  nothing,
  octets,
  oid,
  sequence,
  set,
  tagged,
  time,
  utf8,
} from "./der.ts"

const OID = {
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  subjectKeyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  authorityKeyId: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
} as const

// 16 random bytes: well over the 64 bits that browsers ask for, under RFC 5280's 20 octets.
const SERIAL_BYTES = 16
const KEY_ID_BYTES = 20

/** A key that signs certificates, with the algorithm's name as X.509 writes it. */
export interface Signer {
  readonly algorithm: Asn1
  readonly sign: (data: Uint8Array) => Buffer
}

export interface CertificateContent {
  issuer: Asn1
  subject: Asn1
  /** Epoch milliseconds; X.509 keeps whole seconds. */
  notBefore: number
  notAfter: number
  /** SubjectPublicKeyInfo, decoded. */
  publicKey: Asn1
  extensions: Asn1[]
}

/** What a certificate says about itself that those it issues must repeat. */
export interface IssuerFacts {
  readonly subject: Asn1
  readonly subjectKeyId: Buffer | undefined
  /** The DER value of its nameConstraints extension. */
  readonly nameConstraints: Buffer | undefined
}

/** Signs a version 3 certificate with a new random serial; returns its DER. */
export function issue(certificate: CertificateContent, signer: Signer): Buffer {
  const body = sequence(
    tagged(0, [integer(2)]),
    integer(randomSerial()),
    signer.algorithm,
    certificate.issuer,
    sequence(time(certificate.notBefore), time(certificate.notAfter)),
    certificate.subject,
    certificate.publicKey,
    tagged(3, [sequence(...certificate.extensions)]),
  )
  return encode(sequence(body, signer.algorithm, bits(signer.sign(encode(body)))))
}

/**
 * How `key` signs certificates: ECDSA with the hash of the curve's size, RSA with SHA-256, RSA-PSS, Ed25519, Ed448.
 * Undefined for a key of any other type.
 */
export function signerFor(key: KeyObject): Signer | undefined {
  switch (key.asymmetricKeyType) {
    case "ec": {
      const { hash, algorithm } = ecdsa(key.asymmetricKeyDetails?.namedCurve)
      return { algorithm: sequence(oid(algorithm)), sign: (data) => sign(hash, data, key) }
    }
    case "rsa":
      return {
        algorithm: sequence(oid("1.2.840.113549.1.1.11"), nothing()),
        sign: (data) => sign("sha256", data, key),
      }
    case "rsa-pss":
      return { algorithm: pssWithSha256(), sign: (data) => sign("sha256", data, pssOptions(key)) }
    case "ed25519":
      return { algorithm: sequence(oid("1.3.101.112")), sign: (data) => sign(null, data, key) }
    case "ed448":
      return { algorithm: sequence(oid("1.3.101.113")), sign: (data) => sign(null, data, key) }
    default:
      return undefined
  }
}

/** The SubjectPublicKeyInfo of a public key. */
export function publicKeyInfo(key: KeyObject): Asn1 {
  return decode(key.export({ type: "spki", format: "der" }))
}

/** An identifier for a public key: the first 160 bits of its SHA-256 (RFC 7093, section 2, method 1). */
export function keyIdentifier(publicKey: Asn1): Buffer {
  // The first byte of a BIT STRING counts its unused bits; the key starts after it.
  const key = content(children(publicKey)[1]).subarray(1)
  return createHash("sha256").update(key).digest().subarray(0, KEY_ID_BYTES)
}

export function distinguishedName(parts: { commonName?: string; organization?: string }): Asn1 {
  const attributes: Asn1[] = []
  if (parts.organization !== undefined) attributes.push(attribute(OID.organization, parts.organization))
  if (parts.commonName !== undefined) attributes.push(attribute(OID.commonName, parts.commonName))
  return sequence(...attributes)
}

/** Reads from a CA's certificate what its leaves need. Throws where the certificate is not plain DER. */
export function issuerFacts(cert: X509Certificate): IssuerFacts {
  const fields = children(children(decode(cert.raw))[0])
  // Version 1 certificates have no [0] in front of the serial number.
  const first = fields[0] !== undefined && contextTag(fields[0]) === 0 ? 1 : 0
  const subject = fields[first + 4]
  if (subject === undefined) throw new Error("the certificate has no subject")
  const keyId = extensionValue(fields, OID.subjectKeyId)
  return {
    subject,
    subjectKeyId: keyId && content(decode(keyId)),
    nameConstraints: extensionValue(fields, OID.nameConstraints),
  }
}

/** `pathlen:0`: it may issue leaves, and no further CA. */
export function caConstraints(): Asn1 {
  return extension(OID.basicConstraints, true, sequence(boolean(true), integer(0)))
}

/** keyCertSign and cRLSign: bits 5 and 6 of KeyUsage. */
export function caKeyUsage(): Asn1 {
  return extension(OID.keyUsage, true, bits(Uint8Array.of(0b0000_0110), 1))
}

/** digitalSignature: bit 0 of KeyUsage, all that an ECDSA server key does. */
export function leafKeyUsage(): Asn1 {
  return extension(OID.keyUsage, true, bits(Uint8Array.of(0b1000_0000), 7))
}

export function serverAuth(): Asn1 {
  return extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth)))
}

export function subjectKeyId(id: Uint8Array): Asn1 {
  return extension(OID.subjectKeyId, false, octets(id))
}

export function authorityKeyId(id: Uint8Array): Asn1 {
  return extension(OID.authorityKeyId, false, sequence(tagged(0, id)))
}

/** Not critical: our subjects are never empty (RFC 5280 4.2.1.6). */
export function subjectAltName(...names: Asn1[]): Asn1 {
  return extension(OID.subjectAltName, false, sequence(...names))
}

export function nameConstraints(value: Asn1): Asn1 {
  return extension(OID.nameConstraints, true, value)
}

function extension(id: string, critical: boolean, value: Asn1): Asn1 {
  const bytes = octets(encode(value))
  return critical ? sequence(oid(id), boolean(true), bytes) : sequence(oid(id), bytes)
}

function extensionValue(fields: Asn1[], id: string): Buffer | undefined {
  const extensions = children(children(fields.find((field) => contextTag(field) === 3))[0])
  const found = extensions.find((each) => dottedOid(children(each)[0]) === id)
  return found && content(children(found).at(-1))
}

function attribute(id: string, text: string): Asn1 {
  return set(sequence(oid(id), utf8(text)))
}

/** Positive, of one length and minimal DER: the top bit is off and the next one on. */
function randomSerial(): Buffer {
  const serial = randomBytes(SERIAL_BYTES)
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40
  return serial
}

function ecdsa(curve: string | undefined): { hash: string; algorithm: string } {
  if (curve === "secp384r1") return { hash: "sha384", algorithm: "1.2.840.10045.4.3.3" }
  if (curve === "secp521r1") return { hash: "sha512", algorithm: "1.2.840.10045.4.3.4" }
  return { hash: "sha256", algorithm: "1.2.840.10045.4.3.2" }
}

const PSS_SALT_BYTES = 32

function pssOptions(key: KeyObject) {
  return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: PSS_SALT_BYTES }
}

/** RSASSA-PSS-params with SHA-256, MGF1 over SHA-256 and a salt of 32 bytes (RFC 4055 3.1). */
function pssWithSha256(): Asn1 {
  const sha256 = sequence(oid("2.16.840.1.101.3.4.2.1"), nothing())
  const mgf1 = sequence(oid("1.2.840.113549.1.1.8"), sha256)
  const parameters = sequence(tagged(0, [sha256]), tagged(1, [mgf1]), tagged(2, [integer(PSS_SALT_BYTES)]))
  return sequence(oid("1.2.840.113549.1.1.10"), parameters)
}
