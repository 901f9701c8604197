/**
 * Certificates that we show to upstreams that ask for one (`--client-cert`): one for all, or one for each host from a
 * folder. The folder is listed at the start, so that no name that a client sends ever becomes a file name.
 */
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { type KeyPair, readKeyPair } from "../../../certs/key-pair.ts"
import { UsageError, whyUnread } from "../../base/errors.ts"
import { normalHost } from "../io/authority.ts"
import type { ClientCertificates } from "../settings.ts"

/** Reads a PEM file with certificate and key, or a folder of files HOST.pem. Throws a UsageError. */
export function readClientCertificates(path: string): ClientCertificates {
  try {
    if (!statSync(path).isDirectory()) return { everywhere: pairIn(path), hosts: new Map() }
    const files = readdirSync(path).filter((name) => name.endsWith(".pem"))
    const hosts = new Map(files.map((file) => [hostOf(file, path), pairIn(join(path, file))]))
    if (hosts.size === 0) throw new UsageError(`--client-cert ${path}: no file in it is called HOST.pem`)
    return { everywhere: undefined, hosts }
  } catch (thrown) {
    if (thrown instanceof UsageError) throw thrown
    throw new UsageError(`--client-cert ${path}: ${whyUnread(thrown)}`)
  }
}

function hostOf(file: string, folder: string): string {
  const host = normalHost(file.slice(0, -".pem".length))
  if (host === undefined) throw new UsageError(`--client-cert ${folder}: ${file} is not called after a host`)
  return host
}

function pairIn(path: string): KeyPair {
  const read = readKeyPair(readFileSync(path, "latin1"))
  if (typeof read === "string") throw new UsageError(`--client-cert ${path}: ${read}`)
  const { cert, key } = read
  return { cert, key }
}

/** The one for this host, if there is one. */
export function clientCertificateFor({ everywhere, hosts }: ClientCertificates, host: string): KeyPair | undefined {
  return hosts.get(host) ?? everywhere
}
