/**
 * `npm run build`, before the type declarations that tsc writes: the program's JavaScript, bundled into dist/. Some 350
 * modules would be looked up, read and compiled at each start, which is a tenth of it. What several entries or an
 * `import()` need is in chunks, so that each module exists once in a process, whichever way it came in. Above each module's
 * code in them stands the path of its source.
 * Plain JavaScript, so that it runs before anything is compiled. Writes what has changed, and takes away what is no part of
 * the program any more.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const ROOT = dirname(fileURLToPath(import.meta.url))
const OUT = join(ROOT, "dist")
/** Beside the folders of lib: what a stack names is then below dist/lib, as all of our own code is. */
const CHUNKS = "lib/chunks"
/** Of dist, what package.json publishes. */
const FOLDERS = ["bin", "lib", "certs", "addons"]

/** What is loaded by its place: by package.json, as an addon, as a process or a thread of its own. */
const ENTRIES = [
  "bin/llmproxy.ts",
  "lib/index.ts",
  "lib/testing/index.ts",
  "lib/llm/template/index.ts",
  "lib/targets/index.ts",
  "lib/serve/openapi.ts",
  "addons/*.ts",
  "addons/local-model/child.ts",
  "lib/cli/demo/client.ts",
  "lib/cli/demo/cloud.ts",
  "lib/cli/demo/local-host.ts",
  "lib/cli/demo/proxy.ts",
  "lib/llm/tokens/worker-client.ts",
  "lib/proxy/access/password-hash.ts",
  "lib/services/vocabulary.ts",
  "lib/store/thread-link.ts",
]

const { outputFiles } = await build({
  absWorkingDir: ROOT,
  entryPoints: ENTRIES,
  outbase: ".",
  outdir: OUT,
  chunkNames: `${CHUNKS}/[name]-[hash]`,
  bundle: true,
  splitting: true,
  packages: "external",
  format: "esm",
  platform: "node",
  target: "node20.19",
  logLevel: "warning",
  write: false,
})

// Chunks first: a program that is started meanwhile, or after a build that was broken off, finds what its entry imports.
const chunks = join(OUT, CHUNKS)
const isChunk = ({ path }) => resolve(path).startsWith(chunks)
for (const { path, text } of [...outputFiles].sort((one, other) => isChunk(other) - isChunk(one))) {
  if (isThere(path, text)) continue
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}
const made = new Set(outputFiles.map(({ path }) => resolve(path)))
for (const folder of FOLDERS) takeAwayOld(folder)

/** Chunks that nobody imports any more, and all that has been left by a build of other sources. */
function takeAwayOld(folder) {
  const place = join(OUT, folder)
  for (const name of existsSync(place) ? readdirSync(place, { recursive: true }) : []) {
    const path = join(place, name)
    const isOld = name.endsWith(".d.ts")
      ? !existsSync(join(ROOT, folder, name.replace(/\.d\.ts$/, ".ts")))
      : name.endsWith(".js") && !made.has(path)
    if (isOld) rmSync(path, { force: true }) // Another build may run beside this one.
  }
}

function isThere(path, text) {
  try {
    return readFileSync(path, "utf8") === text
  } catch (error) {
    if (error.code !== "ENOENT") throw error
    return false
  }
}
