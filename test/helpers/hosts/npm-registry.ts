/**
 * A package registry over HTTPS for end-to-end tests: what `npm install` asks for, and no more. Tarballs are made by
 * `npm pack` of fixture folders; their hashes stand in the metadata, so npm itself checks every byte.
 */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { readFile } from "node:fs/promises"
import { createServer } from "node:https"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { promisify } from "node:util"
import type { Test } from "tap"
import { plainEnvironment } from "../command-process.ts"
import { sharedCertificates } from "../test-proxy.ts"

export const REGISTRY_NAME = "registry.test"

export interface NpmRegistry {
  readonly port: number
  /** Paths, in order, as they were asked for. */
  readonly requests: readonly string[]
  /** The hash of each package's tarball, as npm writes it. */
  readonly integrity: ReadonlyMap<string, string>
}

/** Settings that keep npm to the registry, and to a folder. */
export function npmSettings(folder: string): Record<string, string> {
  return {
    npm_config_registry: `https://${REGISTRY_NAME}/`,
    npm_config_cache: join(folder, "npm-cache"),
    npm_config_userconfig: join(folder, "no-npmrc"),
    npm_config_globalconfig: join(folder, "no-global-npmrc"),
    npm_config_audit: "false",
    npm_config_fund: "false",
    npm_config_update_notifier: "false",
    npm_config_fetch_retries: "0",
  }
}

/** Packs the folders and serves them as https://registry.test/. */
export async function startNpmRegistry(t: Test, folder: string, packages: readonly string[]): Promise<NpmRegistry> {
  const pages = new Map<string, { type: string; bytes: Buffer }>()
  const integrity = new Map<string, string>()
  for (const source of packages) {
    const tarball = await pack(folder, source)
    const manifest: { name: string; version: string } = JSON.parse(await readFile(join(source, "package.json"), "utf8"))
    const { name, version } = manifest
    const path = `/${name}/-/${name.replace(/^.*\//, "")}-${version}.tgz`
    const hash = `sha512-${createHash("sha512").update(tarball).digest("base64")}`
    const dist = { tarball: `https://${REGISTRY_NAME}${path}`, integrity: hash }
    const packument = { name, "dist-tags": { latest: version }, versions: { [version]: { ...manifest, dist } } }
    pages.set(path, { type: "application/octet-stream", bytes: tarball })
    pages.set(`/${name}`, { type: "application/json", bytes: Buffer.from(JSON.stringify(packument)) })
    integrity.set(name, hash)
  }
  const requests: string[] = []
  const server = createServer((await sharedCertificates()).chainFor(REGISTRY_NAME), (request, response) => {
    const path = request.url ?? ""
    requests.push(path)
    const page = pages.get(decodeURIComponent(path))
    response.writeHead(page === undefined ? 404 : 200, { "content-type": page?.type ?? "application/json" })
    response.end(page?.bytes ?? "{}")
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, requests, integrity }
}

async function pack(folder: string, source: string): Promise<Buffer> {
  // A cache of its own: from the one that packed it, npm would install a tarball without asking for it.
  const settings = { ...npmSettings(folder), npm_config_cache: join(folder, "npm-pack-cache") }
  const env = plainEnvironment(folder, settings)
  const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", folder, source]
  const { stdout } = await promisify(execFile)("npm", args, { cwd: folder, env })
  const file = /"filename": *"([^"]+)"/.exec(stdout)?.[1] ?? ""
  return readFile(join(folder, file))
}
