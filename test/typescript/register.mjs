/** Given to Node as `--import`: TypeScript files load, see hooks.mjs. */
import { register } from "node:module"

register("./hooks.mjs", import.meta.url)

// What this process starts in another folder finds this file, too.
process.execArgv = process.execArgv.map((argument) =>
  argument.endsWith("/typescript/register.mjs") ? `--import=${import.meta.url}` : argument,
)
