/**
 * SSL_CERT_DIR: folders of roots, as OpenSSL reads them: a certificate a file, named by the hash of its subject
 * (openssl rehash), several folders with the system's separator between them. Read once, and only where it is set.
 */
import { readdirSync, readFileSync, statSync } from "node:fs"
import { delimiter, join } from "node:path"

/** Files of one folder; systems have a few hundred roots. */
const FILES_MAX = 4_096
/** Bytes of one file; a certificate has two thousand. */
const FILE_BYTES_MAX = 1_048_576
/** OpenSSL's own names, X509_LOOKUP_hash_dir(3). */
const HASHED = /^[0-9a-f]{8}\.\d+$/
const CERTIFICATE = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g

/**
 * The certificates (PEM) of the folders that SSL_CERT_DIR names, each once. A folder without hashed names gives those of
 * all its files: Go reads it so, and programs that look a hash up find nothing there anyway. What cannot be read is
 * passed over, as OpenSSL does.
 */
export function rootsOfFolders(folders: string | undefined): string[] {
  const found = new Map<string, string>()
  for (const folder of (folders ?? "").split(delimiter).filter((name) => name !== ""))
    for (const pem of rootsIn(folder)) found.set(pem.replace(/\s/g, ""), pem)
  return [...found.values()]
}

function rootsIn(folder: string): string[] {
  const names = orNone(() => readdirSync(folder))
  const hashed = names.filter((name) => HASHED.test(name))
  const files = (hashed.length > 0 ? hashed : names).slice(0, FILES_MAX)
  return files.flatMap((name) => orNone(() => certificatesIn(join(folder, name))))
}

function certificatesIn(file: string): string[] {
  const found = statSync(file)
  if (!found.isFile() || found.size > FILE_BYTES_MAX) return []
  return readFileSync(file, "latin1").match(CERTIFICATE) ?? []
}

function orNone<T>(read: () => T[]): T[] {
  try {
    return read()
  } catch {
    return [] // Not there, or not ours to read.
  }
}
