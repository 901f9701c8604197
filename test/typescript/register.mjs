/** Given to Node as `--import`: TypeScript files load, see hooks.mjs. */
import { register } from "node:module"

register("./hooks.mjs", import.meta.url)
