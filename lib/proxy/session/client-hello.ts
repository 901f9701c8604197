/**
 * A TLS ClientHello: when it is whole (RFC 8446 sections 4.1.2 and 5.1), and the two things of it that decide what we
 * do: the server name and the protocols. Post-quantum hellos span TCP segments, and may span records.
 */
import { Readable } from "node:stream"
import { getExtensionData, readTlsClientHello } from "read-tls-client-hello"
import { FlowError, messageOf } from "../../base/errors.ts"

/** A hello beyond this is an attack, not a handshake. */
const HELLO_BYTES_MAX = 16_384
/** Each record is looked at again when more bytes come; honest hellos have one or two. */
const RECORDS_MAX = 1_024

const RECORD_HEADER = 5
const HANDSHAKE_HEADER = 4
const HANDSHAKE_RECORD = 0x16
const CLIENT_HELLO = 0x01

export interface ClientHello {
  readonly sni: string | undefined
  /** In the client's order; empty when it offers none. */
  readonly alpn: readonly string[]
}

/**
 * The handshake message once all of it is in `bytes`, as one record; undefined while more has to come. Throws a
 * FlowError when it is no ClientHello or too long.
 */
export function wholeHello(bytes: Buffer): Buffer | undefined {
  const fragments: Buffer[] = []
  let have = 0
  let need = HANDSHAKE_HEADER
  for (let at = 0; have < need; ) {
    if (fragments.length >= RECORDS_MAX) throw notTls(`the ClientHello exceeds ${RECORDS_MAX} records`)
    if (bytes.length < at + RECORD_HEADER) return undefined
    if (bytes[at] !== HANDSHAKE_RECORD) throw notTls("a record is no handshake record")
    const length = bytes.readUInt16BE(at + 3)
    if (length === 0) throw notTls("a record is empty")
    const fragment = bytes.subarray(at + RECORD_HEADER, at + RECORD_HEADER + length)
    fragments.push(fragment)
    have += fragment.length
    if (need === HANDSHAKE_HEADER && have >= HANDSHAKE_HEADER) need += messageLength(Buffer.concat(fragments))
    if (fragment.length < length) return undefined
    at += RECORD_HEADER + length
  }
  const message = Buffer.concat(fragments).subarray(0, need)
  const header = Buffer.from([HANDSHAKE_RECORD, 3, 1, message.length >> 8, message.length & 0xff])
  return Buffer.concat([header, message])
}

function messageLength(start: Buffer): number {
  if (start[0] !== CLIENT_HELLO) throw notTls("the first message is no ClientHello")
  const length = start.readUIntBE(1, 3)
  if (length > HELLO_BYTES_MAX) throw notTls(`the ClientHello exceeds ${HELLO_BYTES_MAX} bytes`)
  return length
}

/** Reads what `wholeHello` returned. Rejects with a FlowError. */
export async function readHello(record: Buffer): Promise<ClientHello> {
  try {
    // Not ended: the reader takes an end before its last byte for a broken hello.
    const stream = new Readable({ read() {} })
    stream.push(record)
    const hello = await readTlsClientHello(stream)
    const sni = getExtensionData(hello, "server_name")?.serverName
    return { sni: sni === "" ? undefined : sni, alpn: getExtensionData(hello, "alpn")?.protocols ?? [] }
  } catch (thrown) {
    throw notTls(messageOf(thrown))
  }
}

function notTls(what: string): FlowError {
  return new FlowError("client", "bad-client-hello", `TLS handshake not understood: ${what}`)
}
