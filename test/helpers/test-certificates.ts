/**
 * Certificates for tests, made when the test starts: a CA in a folder of its own and leaves for any name, and a second
 * CA that nobody trusts. No key outlives the test.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { SecureContext } from "node:tls"
import { loadOrCreateCa } from "../../certs/ca.ts"
import { LeafFactory } from "../../certs/leaf.ts"

export interface TestCertificates {
  /** The CA's certificate, PEM. */
  readonly ca: string
  /** Certificate and key for a server of that name or address, and of further names. */
  chainFor(name: string, further?: readonly string[]): { key: string; cert: string }
  contextFor(name: string, further?: readonly string[]): SecureContext
}

/** `clock`: when the CA is made and leaves are issued, epoch milliseconds. */
export async function testCertificates(clock: () => number = Date.now): Promise<TestCertificates> {
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-test-"))
  try {
    const ca = await loadOrCreateCa(folder, { clock })
    const factory = new LeafFactory(ca, { clock })
    return {
      ca: ca.cert.toString(),
      chainFor: (name, further) => factory.chainFor(name, further),
      contextFor: (name, further) => factory.contextFor(name, further),
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
