/** What test files import as "tap" under run-mutants.mjs: their tests are noted, and run by it. */
export const noted = []

export function test(name, ...rest) {
  noted.push([name, ...rest])
}

export const t = { test, setTimeout: () => {} }
