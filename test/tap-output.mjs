/** What run.mjs reads out of a TAP stream. Plain JavaScript, as run.mjs is. */

/** The results of whole files: `ok 1 - test/base/uuid.test.ts # time=13.6ms`. */
export function filesIn(output) {
  return [...output.matchAll(/^(not )?ok \d+ - (\S+\.test\.(?:ts|mjs)) # time=([\d.]+)ms/gm)].map(
    ([, not, name, milliseconds]) => ({
      name,
      ok: not === undefined,
      seconds: (Number(milliseconds) / 1000).toFixed(1),
    }),
  )
}

/** The counts of tap's own summary line: `# { total: 9, pass: 8, skip: 1 }`. */
export function totalsIn(output) {
  const found = [...output.matchAll(/^# \{ total: (\d+)(.*)\}\s*$/gm)].at(-1)
  const count = (word) => Number(new RegExp(`${word}: (\\d+)`).exec(found?.[2] ?? "")?.[1] ?? 0)
  return { pass: count("pass"), fail: count("fail"), skip: count("skip"), todo: count("todo") }
}

/** Every failed assertion with its details, under the file and the tests that it is in. */
export function failuresIn(output) {
  const failures = []
  const within = []
  let details
  for (const line of output.split("\n")) {
    const depth = line.length - line.trimStart().length
    const text = line.trim()
    if (details !== undefined && (details.length > 2 || text === "---")) {
      details.push(line)
      if (text === "...") details = undefined
      continue
    }
    details = undefined
    const subtest = /^ *# Subtest: (.*)$/.exec(line)
    if (subtest !== null) within.splice(depth / 4, within.length, subtest[1])
    if (!/^ *not ok /.test(line)) continue
    details = [within.slice(0, depth / 4).join(" > "), line]
    failures.push(details)
  }
  return failures.map((lines) => lines.join("\n").trimStart())
}
