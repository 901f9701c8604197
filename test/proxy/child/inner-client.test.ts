import assert from "node:assert/strict"
import { test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { Headers } from "../../../lib/base/headers.ts"
import { InnerClient } from "../../../lib/proxy/child/inner-client.ts"
import { ClientConnection } from "../../../lib/proxy/session/client-connection.ts"

function innerClient(): InnerClient {
  const connection = new ClientConnection({ remoteAddress: "127.0.0.1", remotePort: 1 })
  const head = {
    method: "POST",
    scheme: "http",
    host: "x",
    port: 80,
    path: "/",
    headers: new Headers(),
    version: "HTTP/1.1",
    upgrade: undefined,
  } as const
  return new InnerClient(connection, head, Buffer.from("body"))
}

const HEAD = { status: 200, reason: "OK", headers: new Headers() }
const GONE = new FlowError("addon", "unused", "not used")

test("a writer waits when nobody reads, and goes on when somebody does", async () => {
  const inner = innerClient()
  assert.equal((await inner.body.read())?.toString(), "body")
  inner.inform()
  inner.respond(HEAD)
  assert.equal(await inner.responded.wait(), HEAD)
  assert.equal(inner.write(Buffer.alloc(0)), true)
  assert.equal(inner.write(Buffer.alloc(65_536)), false)
  let ready = false
  const waiting = inner.ready().then(() => {
    ready = true
  })
  await Promise.resolve()
  assert.equal(ready, false)
  await inner.output.read()
  await waiting
  await inner.ready()
  assert.equal(inner.over, false)
  inner.end()
  assert.equal(inner.over, true)
  assert.equal(inner.write(Buffer.from("late")), true)
  assert.equal(await inner.output.read(), undefined)
  inner.abort(GONE)
  assert.equal(await inner.output.read(), undefined)
})

test("an abort rejects whoever waits: for the head, for room, for the body", async () => {
  const inner = innerClient()
  inner.write(Buffer.alloc(65_536))
  const room = inner.ready()
  inner.abort(GONE)
  await assert.rejects(room, GONE)
  await assert.rejects(inner.responded.wait(), GONE)
  await inner.output.read()
  await assert.rejects(inner.output.read(), GONE)
})

test("it cannot be upgraded", async () => {
  assert.throws(() => innerClient().tunnel(), { code: "no-tunnel" })
})
