/** README's picture is what the program prints: it is recorded again, by the same clock, and is the same. */
import { readFileSync } from "node:fs"
import { test } from "tap"
import { COLUMNS, PICTURE, recording } from "./record.ts"
import { svgOf } from "./svg.ts"

test("the picture in README is what the program prints today", async (t) => {
  const text = await recording()
  t.equal(svgOf(text, COLUMNS), readFileSync(PICTURE, "utf8"), "npm run picture records it anew")
  t.ok(readFileSync("README.md", "utf8").includes(`](${PICTURE})`), "README shows it")
  for (const words of ["LM Studio", "local: needs", 'asked again once: "plan" is empty', "cloud: needs", "requests"])
    t.ok(text.includes(words), words)
})

test("colours become attributes, and what XML would read is escaped", async (t) => {
  const svg = svgOf("a <\u001b[32mb & c\u001b[39m  d\n\u001b[2m  e\u001b[22m\n", 20)
  t.match(svg, '<text xml:space="preserve" x="16" y="29.5" textLength="24">a &lt;</text>')
  t.match(svg, 'x="40" y="29.5" textLength="40" fill="#8fce7e">b &amp; c</text>')
  t.match(svg, 'x="96" y="29.5" textLength="8">d</text>')
  t.match(svg, 'x="32" y="47.5" textLength="8" fill="#868c98">e</text>')
})
