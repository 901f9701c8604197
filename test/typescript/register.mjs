/** Given to Node as `--import`: TypeScript files load, see hooks.mjs. */
import { writeFileSync } from "node:fs"
import Module, { register } from "node:module"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { bundleName } from "./bundle-name.mjs"

const ADDONS = fileURLToPath(new URL("../../addons/", import.meta.url))

register("./hooks.mjs", import.meta.url)

// What this process starts in another folder finds this file, too.
process.execArgv = process.execArgv.map((argument) =>
  argument.endsWith("/typescript/register.mjs") ? `--import=${import.meta.url}` : argument,
)

// Addons run as bundles, which are nowhere but in memory: coverage.mjs needs them to tell what of their files has run.
const { LLMPROXY_TEST_SCRIPTS: folder } = process.env
if (folder !== undefined) {
  const compile = Module.prototype._compile
  Module.prototype._compile = function (code, file, ...rest) {
    if (file.startsWith(ADDONS)) writeFileSync(join(folder, bundleName(file.split("?")[0], code.length)), code)
    return compile.call(this, code, file, ...rest)
  }
}
