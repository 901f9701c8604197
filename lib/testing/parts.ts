/**
 * What needs no program around it: `llmproxy/testing` but for `loadAddon`, and all of it for an addon that imports it, as
 * no addon starts a second program inside of the one that runs it.
 */
export { everySplit } from "./every-split.ts"
export { llmFlow, type TestFlow, type TestFlowOptions, testFlow } from "./flows.ts"
export { ManualClock } from "./manual-clock.ts"
export { type OriginRequest, type OriginTls, type ReplyScript, ScriptedOrigin } from "./origin.ts"
