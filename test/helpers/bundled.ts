/**
 * A module of ours as one plain script, for threads and processes of tests: to load TypeScript there takes seconds. It
 * stands below the package, so that it finds what is installed.
 */
import { rmSync } from "node:fs"
import { copyFile, mkdir, readFile, rm } from "node:fs/promises"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { build } from "esbuild"
import type { Test } from "tap"
import { bundleName } from "../typescript/bundle-name.mjs"

let count = 0

/** Gone with the test. */
export async function bundled(t: Test, entry: string): Promise<URL> {
  const url = await bundle(entry)
  t.teardown(() => rm(url, { force: true }))
  return url
}

/** For all tests of a file: gone with the process. */
export async function bundledOnce(entry: string): Promise<URL> {
  const url = await bundle(entry)
  process.once("exit", () => rmSync(url, { force: true }))
  return url
}

// Coverage is told of its sources (test/coverage.mjs), also when it is gone.
const { LLMPROXY_TEST_SCRIPTS: kept } = process.env

async function bundle(entry: string): Promise<URL> {
  const folder = resolve(".tap", "scripts")
  await mkdir(folder, { recursive: true })
  const outfile = resolve(folder, `${process.pid}-${count++}.mjs`)
  await build({
    entryPoints: [resolve(entry)],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    conditions: ["llmproxy-source"],
    logLevel: "error",
    ...(kept === undefined ? {} : { sourcemap: "inline", sourcesContent: false }),
  })
  if (kept !== undefined)
    await copyFile(outfile, join(kept, bundleName(outfile, (await readFile(outfile, "utf8")).length)))
  return pathToFileURL(outfile)
}
