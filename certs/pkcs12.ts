/**
 * A PKCS#12 file (RFC 7292) that holds one certificate and no key, for the importers that take nothing else.
 * Nothing in it is secret, so nothing is encrypted and the password is empty.
 */
import { createHash, createHmac, type X509Certificate } from "node:crypto"
import { type Asn1, bmp, encode, integer, nothing, octets, oid, sequence, set, tagged } from "./der.ts"

const OID = {
  data: "1.2.840.113549.1.7.1",
  certificateBag: "1.2.840.113549.1.12.10.1.3",
  x509Certificate: "1.2.840.113549.1.9.22.1",
  friendlyName: "1.2.840.113549.1.9.20",
  sha1: "1.3.14.3.2.26",
} as const

const MAC_ITERATIONS = 2048
const SALT_BYTES = 8
// SHA-1's block, and the identifier of MAC key material (RFC 7292 B.2 and B.3).
const BLOCK_BYTES = 64
const MAC_KEY_ID = 3
// An empty password as a BMPString with its final zero (RFC 7292 B.1).
const EMPTY_PASSWORD = Buffer.alloc(2)

/** The same certificate gives the same bytes. */
export function certificateOnlyPkcs12(cert: X509Certificate, friendlyName: string): Buffer {
  const name = sequence(oid(OID.friendlyName), set(bmp(friendlyName)))
  const certificate = sequence(oid(OID.x509Certificate), tagged(0, [octets(cert.raw)]))
  const bag = sequence(oid(OID.certificateBag), tagged(0, [certificate]), set(name))
  const contents = encode(sequence(data(encode(sequence(bag)))))
  return encode(sequence(integer(3), data(contents), integrity(contents, cert)))
}

function data(bytes: Uint8Array): Asn1 {
  return sequence(oid(OID.data), tagged(0, [octets(bytes)]))
}

// Windows before 10 reads no MAC but SHA-1's. With an empty password it is a checksum, not a protection.
function integrity(contents: Buffer, cert: X509Certificate): Asn1 {
  const salt = createHash("sha256").update(cert.raw).digest().subarray(0, SALT_BYTES)
  const mac = createHmac("sha1", macKey(salt)).update(contents).digest()
  const digest = sequence(sequence(oid(OID.sha1), nothing()), octets(mac))
  return sequence(digest, octets(salt), integer(MAC_ITERATIONS))
}

/** RFC 7292 B.2, for the one case where a single round of SHA-1 gives the whole key. */
function macKey(salt: Buffer): Buffer {
  const block = Buffer.concat([
    Buffer.alloc(BLOCK_BYTES, MAC_KEY_ID),
    Buffer.alloc(BLOCK_BYTES, salt),
    Buffer.alloc(BLOCK_BYTES, EMPTY_PASSWORD),
  ])
  let key: Buffer = block
  for (let round = 0; round < MAC_ITERATIONS; round++) key = createHash("sha1").update(key).digest()
  return key
}
