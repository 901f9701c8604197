/**
 * What a connection keeps of its messages, and that it is bounded.
 */
import { test } from "tap"
import { MemoryBudget, MemoryShare } from "../../../lib/proxy/body/memory.ts"
import { SocketMessage } from "../../../lib/proxy/websocket/message.ts"
import { WebSocketState } from "../../../lib/proxy/websocket/state.ts"

const ACTIONS = { send() {}, close() {} }
const TERMS = { subprotocol: undefined, extensions: undefined }

function message(id: number, bytes: number): SocketMessage {
  return new SocketMessage({ id, from: "client", type: "binary", timestamp: 0 }, Buffer.alloc(bytes))
}

test("at most 1,000 messages and 8 MiB are kept, the latest ones", async (t) => {
  const budget = new MemoryBudget(100_000_000)
  const state = new WebSocketState(TERMS, new MemoryShare(budget), ACTIONS)
  for (let id = 1; id <= 1_500; id++) state.keep(message(id, 10))
  t.same([state.messages.length, state.messages[0]?.id], [1_000, 501])
  t.equal(budget.used, 1_000 * 266)
  state.keep(message(1_501, 8_000_000))
  t.equal(state.messages.at(-1)?.id, 1_501)
  t.ok(budget.used < 8_388_608)
  state.keep(message(1_502, 9_000_000))
  t.equal(state.messages.at(-1)?.id, 1_501, "one that is larger than all of it is not kept")
})

test("what is kept is part of memoryLimit, and what a hook has changed is counted again", async (t) => {
  const budget = new MemoryBudget(1_000)
  const state = new WebSocketState(TERMS, new MemoryShare(budget), ACTIONS)
  for (let id = 1; id <= 4; id++) state.keep(message(id, 100))
  t.same(
    state.messages.map(({ id }) => id),
    [3, 4],
  )
  const [, last] = state.messages
  if (last !== undefined) {
    last.bytes = Buffer.alloc(500)
    state.recount(last)
  }
  t.same(
    state.messages.map(({ id }) => id),
    [4],
  )
  t.equal(budget.used, 756)
  state.recount(message(9, 1))
  t.equal(state.messages.length, 1)
})

test("the first Close counts; without one the code is 1006", async (t) => {
  const share = new MemoryShare(new MemoryBudget(10))
  const state = new WebSocketState(TERMS, share, ACTIONS)
  state.closed({ code: 1001, reason: "away" }, "server")
  state.closed({ code: 1000, reason: "" }, "client")
  state.ended()
  t.same([state.closeCode, state.closeReason, state.closedBy], [1001, "away", "server"])
  const cut = new WebSocketState(TERMS, share, ACTIONS)
  cut.ended()
  t.same([cut.closeCode, cut.closedBy], [1006, undefined])
})

test("a message says what it is, and is not changed once it was sent", async (t) => {
  const binary = message(1, 2)
  t.throws(() => binary.text, /binary/)
  const text = new SocketMessage({ id: 2, from: "server", type: "text", timestamp: 0 }, Buffer.from("a"))
  t.throws(() => {
    text.bytes = Buffer.of(0xff)
  }, /UTF-8/)
  text.bytes = Buffer.from("b")
  t.equal(text.text, "b")
  text.sent()
  t.throws(() => text.drop(), /has been sent/)
  t.throws(() => {
    text.text = "c"
  }, /has been sent/)
})
