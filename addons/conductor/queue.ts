/**
 * One queue per local host, of the kind that all addons with several targets have: "llmproxy/targets" has it.
 */
export { join, linesIn, type Place, QueueMetrics } from "llmproxy/targets"
