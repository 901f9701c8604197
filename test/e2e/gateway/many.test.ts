/**
 * A hundred clients at once over twenty keys with limits, before one gateway on SQLite and three on PostgreSQL: nobody gets another's
 * answer, nothing goes over a limit, and what keys have counted is what the upstream has seen, whatever ends a gateway.
 */
import type { Test } from "tap"
import { exitsWith } from "../../helpers/command-process.ts"
import { kindOf, onBoth } from "../../helpers/postgres.ts"
import { askAll, KEYS, RESERVED_MAX, startMany, USED_TOKENS, withinLimits } from "./many-rig.ts"

/** With this request whose tokens are counted a gateway ends: it and others run then. */
const ENDED_WITH = 40
/** Milliseconds between two looks into the database, which tells nobody of a change. */
const LOOK_MS = 100

const processes = (t: Test) => (kindOf(t) === "PostgreSQL" ? 3 : 1)

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
}

onBoth("100 clients over 20 keys: no cross-talk, no limit passed, and the sums are the upstream's", async (t) => {
  const { gateways, keys, seen, counted, open } = await startMany(t, processes(t))
  const statuses = await askAll(gateways, keys)
  t.same([...new Set(statuses)].sort(), [200, 429])
  await until(async () => (await open()) === 0)
  for (let index = 0; index < KEYS; index++) {
    const { requests = 0, most = 0 } = seen[index] ?? {}
    const sums = await counted(index)
    t.ok(requests > 0)
    t.same([sums.requests, index % 4 === 0 ? 0 : sums.tokens], [requests, index % 4 === 0 ? 0 : requests * USED_TOKENS])
    withinLimits(t, index, sums, most)
  }
  const answered = statuses.filter((status) => status === 200).length
  t.equal(
    answered,
    seen.reduce((sum, one) => sum + one.answered, 0),
    "and every answer has reached whoever asked",
  )
})

onBoth("a gateway that is told to end lets its requests end, and loses nothing", async (t) => {
  const { gateways, keys, seen, counted, open, whenSeen } = await startMany(t, processes(t))
  const [first] = gateways
  whenSeen((count) => {
    if (count === ENDED_WITH) first?.program.signal("SIGTERM")
  })
  const statuses = await askAll(gateways, keys)
  if (first !== undefined) exitsWith(t, 0, await first.program.outcome)
  t.ok(statuses.length > 0)
  await until(async () => (await open()) === 0)
  for (let index = 0; index < KEYS; index++) {
    const { requests = 0, most = 0 } = seen[index] ?? {}
    const sums = await counted(index)
    t.equal(sums.requests, requests, `key ${index}`)
    if (index % 4 !== 0) t.equal(sums.tokens, requests * USED_TOKENS, `key ${index}`)
    withinLimits(t, index, sums, most)
  }
})

onBoth("what a gateway had reserved that was killed is counted as reserved once its lease is over", async (t) => {
  const { gateways, start, keys, seen, counted, open, whenSeen } = await startMany(t, processes(t))
  const [first] = gateways
  whenSeen((count) => {
    if (count === ENDED_WITH) first?.program.signal("SIGKILL")
  })
  await askAll(gateways, keys)
  await first?.program.outcome
  t.ok(seen.some(({ requests }) => requests > 0))
  // On PostgreSQL the others see to it, on SQLite whoever comes next.
  if (gateways.length === 1) await start()
  await until(async () => (await open()) === 0)
  let lost = 0
  for (let index = 0; index < KEYS; index++) {
    const { requests = 0, answered = 0, most = 0 } = seen[index] ?? {}
    const sums = await counted(index)
    withinLimits(t, index, sums, most)
    t.ok(sums.requests >= requests, `key ${index}: ${sums.requests} counted of ${requests} that were seen`)
    // What was reserved may not have left yet; a key has no more than that at a time.
    t.ok(sums.requests <= requests + 3, `key ${index}: ${sums.requests} counted of ${requests}`)
    if (index % 4 === 0) continue
    t.ok(sums.tokens >= answered * USED_TOKENS, `key ${index}: ${sums.tokens} tokens of ${answered} answers`)
    t.ok(sums.tokens <= requests * USED_TOKENS + 3 * RESERVED_MAX, `key ${index}: ${sums.tokens} tokens`)
    lost += sums.tokens - answered * USED_TOKENS
  }
  if (gateways.length === 1) t.ok(lost > 0, `${lost} tokens are counted of requests whose answers nobody got`)
})
