/**
 * For tests of addons: `import ... from "llmproxy/testing"`.
 */
export { everySplit } from "./every-split.ts"
export { llmFlow, type TestFlow, type TestFlowOptions, testFlow } from "./flows.ts"
export { ManualClock } from "./manual-clock.ts"
export { type OriginRequest, type ReplyScript, ScriptedOrigin } from "./origin.ts"
