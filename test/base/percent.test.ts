import { test } from "tap"
import { percentDecoded } from "../../lib/base/percent.ts"

test("escapes are read, and what escapes nothing stands for itself", async (t) => {
  for (const [text, plain] of [
    ["", ""],
    ["plain", "plain"],
    ["p%40ss%3A", "p@ss:"],
    ["100%", "100%"],
    ["50%%2F", "50%/"],
    ["%C3%A9%", "é%"],
    ["%zz%41", "%zzA"],
    ["%ff%41", "%ff%41"],
    ["%E2%82", "%E2%82"],
  ] as const)
    t.equal(percentDecoded(text), plain, text)
})
