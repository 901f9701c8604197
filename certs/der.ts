/**
 * The few ASN.1 values that certificates are made of, as thin words over node-forge.
 * forge keeps bytes in binary strings; this file is the only one that knows. It reads the user's own CA file
 * and nothing that a peer sent.
 */
import { createRequire } from "node:module"
import type forge from "node-forge"

// Its type package knows only an older form of fromDer.
interface ForgeAsn1 extends Omit<typeof forge.asn1, "fromDer"> {
  fromDer(
    bytes: string,
    options: { strict: boolean; parseAllBytes: boolean; decodeBitStrings: boolean },
  ): forge.asn1.Asn1
}

// forge's ASN.1 alone: the whole library takes three times as long to load, and start-up waits for it.
const asn1: ForgeAsn1 = createRequire(import.meta.url)("node-forge/lib/asn1.js")

export type Asn1 = forge.asn1.Asn1

const { UNIVERSAL, CONTEXT_SPECIFIC } = asn1.Class
const { Type } = asn1

// The first instant that RFC 5280 4.1.2.5 wants as GeneralizedTime.
const YEAR_2050_MS = Date.UTC(2050, 0, 1)

export function sequence(...items: Asn1[]): Asn1 {
  return asn1.create(UNIVERSAL, Type.SEQUENCE, true, items)
}

export function set(...items: Asn1[]): Asn1 {
  return asn1.create(UNIVERSAL, Type.SET, true, items)
}

/** A context-specific `[tag]`: explicit when it gets values, implicit when it gets bytes. */
export function tagged(tag: number, content: Asn1[] | Uint8Array): Asn1 {
  return Array.isArray(content)
    ? asn1.create(CONTEXT_SPECIFIC, tag, true, content)
    : asn1.create(CONTEXT_SPECIFIC, tag, false, binary(content))
}

export function oid(dotted: string): Asn1 {
  return asn1.create(UNIVERSAL, Type.OID, false, asn1.oidToDer(dotted).getBytes())
}

/** A non-negative INTEGER; bytes are big-endian and must not start with a needless zero or a set top bit. */
export function integer(value: number | Uint8Array): Asn1 {
  const bytes = typeof value === "number" ? asn1.integerToDer(value).getBytes() : binary(value)
  return asn1.create(UNIVERSAL, Type.INTEGER, false, bytes)
}

export function boolean(value: boolean): Asn1 {
  return asn1.create(UNIVERSAL, Type.BOOLEAN, false, value ? "\xff" : "\x00")
}

export function nothing(): Asn1 {
  return asn1.create(UNIVERSAL, Type.NULL, false, "")
}

export function octets(content: Uint8Array): Asn1 {
  return asn1.create(UNIVERSAL, Type.OCTETSTRING, false, binary(content))
}

/** A BIT STRING whose last byte has `unused` bits of padding. */
export function bits(content: Uint8Array, unused = 0): Asn1 {
  return asn1.create(UNIVERSAL, Type.BITSTRING, false, String.fromCharCode(unused) + binary(content))
}

export function utf8(text: string): Asn1 {
  return asn1.create(UNIVERSAL, Type.UTF8, false, binary(Buffer.from(text)))
}

export function bmp(text: string): Asn1 {
  return asn1.create(UNIVERSAL, Type.BMPSTRING, false, text)
}

/** A point in time, in epoch milliseconds, cut to the second (RFC 5280 4.1.2.5). */
export function time(epochMs: number): Asn1 {
  const date = new Date(epochMs)
  return epochMs < YEAR_2050_MS
    ? asn1.create(UNIVERSAL, Type.UTCTIME, false, asn1.dateToUtcTime(date))
    : asn1.create(UNIVERSAL, Type.GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(date))
}

export function encode(value: Asn1): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), "latin1")
}

/** Throws where `der` is not one whole DER value. BIT STRINGs stay bytes. */
export function decode(der: Uint8Array): Asn1 {
  return asn1.fromDer(binary(der), { strict: true, parseAllBytes: true, decodeBitStrings: false })
}

/** The values inside a constructed value; none for a primitive one. */
export function children(value: Asn1 | undefined): Asn1[] {
  return Array.isArray(value?.value) ? value.value : []
}

/** The content bytes of a primitive value; none for a constructed one. */
export function content(value: Asn1 | undefined): Buffer {
  return typeof value?.value === "string" ? Buffer.from(value.value, "latin1") : Buffer.alloc(0)
}

/** The tag number of a context-specific value, else undefined. */
export function contextTag(value: Asn1): number | undefined {
  return value.tagClass === CONTEXT_SPECIFIC ? value.type : undefined
}

/** The dotted form of an OBJECT IDENTIFIER; undefined for anything else. */
export function dottedOid(value: Asn1 | undefined): string | undefined {
  return value?.type === Type.OID && typeof value.value === "string" ? asn1.derToOid(value.value) : undefined
}

function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1")
}
