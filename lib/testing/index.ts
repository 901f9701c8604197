/**
 * For tests of addons: `import { loadAddon } from "llmproxy/testing"`. docs/addons.md, "Testing an addon", has an example.
 */
export { type LoadAddonOptions, loadAddon, type TestAddon, type TestState } from "./load-addon.ts"
export * from "./parts.ts"
export type { TestAnswer, TestCompletion } from "./test-answer.ts"
export type { TestRequest, TestResponse } from "./test-client.ts"
export type { TestLog } from "./test-log.ts"
export type { AskedRequest, TestUpstreamAnswer } from "./test-upstream.ts"
export type { TestWebSocket, WebSocketClosed } from "./test-websocket.ts"
