/** That work which grows too fast is found, so that the tests that ask for it can fail. */
import { test } from "tap"
import { steepGrowth } from "./helpers/growth.ts"

test("quadratic work is found, linear work is not", async (t) => {
  let sum = 0
  const spin = (steps: number) => {
    for (let i = 0; i < steps; i++) sum += i % 7
  }
  t.match(
    steepGrowth(2_500, (size) => () => spin(size * size)),
    /^2500, 4 and 16 times of it take \d+, \d+, \d+ us$/,
  )
  t.equal(
    steepGrowth(20_000_000, (size) => () => spin(size)),
    undefined,
  )
  t.ok(sum > 0)
})
