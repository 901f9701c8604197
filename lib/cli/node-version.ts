/**
 * Whether this Node still gets security fixes, and has those that a proxy needs: the ones of 2026 concern the checking
 * of certificates, keep-alive connections and HTTP/2 (Node's advisories of June, July and October 2026).
 */

/** The first release of each maintained line that has them. */
const FIXED: Readonly<Record<number, string>> = { 22: "22.23.4", 24: "24.22.1", 26: "26.12.1" }
const RECOMMENDED = "24.22.1"
/** Lines above this are newer than this list. */
const NEWEST_LINE = 26

/** One line, or undefined when all is well. `version` without the "v". */
export function nodeWarning(version: string): string | undefined {
  const line = Number.parseInt(version, 10)
  if (line > NEWEST_LINE) return undefined
  const fixed = FIXED[line]
  if (fixed === undefined) return `Node ${version} gets no security fixes any more; use ${RECOMMENDED} or later`
  if (isAtLeast(version, fixed)) return undefined
  return `Node ${version} lacks security fixes that a proxy needs; update to ${fixed} or later`
}

/** Whether this Node's fetch goes through the proxy that NODE_USE_ENV_PROXY=1 and HTTPS_PROXY name. */
export function usesEnvProxy(version: string): boolean {
  const line = Number.parseInt(version, 10)
  return line === 22 ? isAtLeast(version, "22.21.0") : line >= 24
}

function isAtLeast(version: string, least: string): boolean {
  const numbers = version.split(/[.-]/).map(Number)
  for (const [i, wanted] of least.split(".").map(Number).entries()) {
    const had = numbers[i] ?? 0
    if (had !== wanted) return had > wanted
  }
  return true
}
