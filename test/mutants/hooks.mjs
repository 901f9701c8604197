/**
 * Node's hooks for run-mutants.mjs: modules are loaded anew for each mutant, named by a query, and one of them with another
 * source. Everything else is loaded as in the tests (typescript/hooks.mjs).
 */
const ROOT = new URL("../../", import.meta.url).href

let mutated
let sources = []

export function initialize(data) {
  mutated = data.url
  sources = data.sources
}

export async function resolve(specifier, context, next) {
  const number = numberOf(context.parentURL)
  // Test files only say what they would test.
  if (specifier === "tap" && number !== undefined) return { url: `${ROOT}test/mutants/tap.mjs`, shortCircuit: true }
  const resolved = await next(specifier, context)
  const isOurs = resolved.url.startsWith(ROOT) && resolved.url.endsWith(".ts")
  return isOurs && number !== undefined ? { ...resolved, url: `${resolved.url}?mutant=${number}` } : resolved
}

export async function load(url, context, next) {
  const number = numberOf(url)
  if (number === undefined || number === 0 || url.split("?")[0] !== mutated) return next(url, context)
  return { format: "module", source: sources[number - 1], shortCircuit: true }
}

/** 0: the file as it is. */
function numberOf(url) {
  const [, number] = /\?mutant=(\d+)$/.exec(url ?? "") ?? []
  return number === undefined ? undefined : Number(number)
}
