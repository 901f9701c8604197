/**
 * What cannot be read passes unread, so that a limit of ours breaks nobody's work; unless an addon insists (`onError:
 * "block"`): a guard that is passed by is none. Every place where something passes unread asks here.
 */

import type { HookName } from "../../api/hooks.ts"
import type { HookChain } from "../../loader/chain.ts"

const LLM_HOOKS: readonly HookName[] = ["llmRequest", "llmDelta", "llmResponse", "llmError"]
/** What a turn on a WebSocket has beside those: it is a flow, and its messages are its bodies. */
const TURN_HOOKS: readonly HookName[] = [...LLM_HOOKS, "requestHeaders", "request", "responseHeaders"]

/** Of a request's body: those for which it is read, and those that listen to what it means. */
export function insistsOnBody({ addons }: HookChain): boolean {
  return addons.some(({ onError, hooks, reads }) => {
    return onError === "block" && (reads !== undefined || LLM_HOOKS.some((hook) => hooks[hook] !== undefined))
  })
}

/** Of a WebSocket's messages. `turns`: some of them are turns with a model. */
export function insistsOnMessages({ addons }: HookChain, turns: boolean): boolean {
  return addons.some(({ onError, hooks, reads }) => {
    const hearsTurns = reads !== undefined || TURN_HOOKS.some((hook) => hooks[hook] !== undefined)
    const listens = hooks.websocketMessage !== undefined || (turns && hearsTurns)
    return onError === "block" && listens
  })
}
