/**
 * "llmproxy/targets": what addons share that send a flow to one of several places. docs/targets.md shows it in use.
 */
export { ATTEMPTS, type Attempt, type AttemptResult, attemptsOf, CONTEXT, contextOf } from "./attempts.ts"
export { Health, REST_MS_MAX, type Standing } from "./health.ts"
export { inOrder, type Order } from "./order.ts"
export {
  COOLDOWN_MS,
  FIRST_WORD_MS,
  type Plan,
  type PoolSettings,
  type Taken,
  type TargetState,
  WAITING_MAX,
} from "./plan.ts"
export { TargetPool } from "./pool.ts"
export { join, type Lines, lengthOf, linesIn, type Place } from "./queue.ts"
export { QueueMetrics } from "./queue-metrics.ts"
export type { Refusal } from "./refusal.ts"
export { bodyAt, dropClientsOwn, fieldsAt, isWhole, type Target, urlAt, withoutKeys } from "./target.ts"
export { judge, judgeStatus, retryAfterMs, type Verdict } from "./verdict.ts"
