import { test } from "tap"
import { MemoryBudget, MemoryShare } from "../../../lib/proxy/body/memory.ts"

test("what does not fit is not booked, and a flow gives everything back at once", (t) => {
  const budget = new MemoryBudget(100)
  const one = new MemoryShare(budget)
  const two = new MemoryShare(budget)
  t.equal(one.take(60), true)
  t.equal(two.take(41), false)
  t.equal(budget.used, 60)
  t.equal(two.take(40), true)
  t.equal(budget.used, 100)
  one.release()
  one.release()
  t.equal(budget.used, 40)
  two.release()
  t.equal(budget.used, 0)
  t.end()
})
