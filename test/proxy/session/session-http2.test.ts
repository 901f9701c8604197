import { createServer } from "node:net"
import { test } from "tap"
import { FlowError } from "../../../lib/base/errors.ts"
import { HookChain } from "../../../lib/loader/chain.ts"
import { RunningFlows } from "../../../lib/proxy/flow/running-flows.ts"
import { ClientConnection } from "../../../lib/proxy/session/client-connection.ts"
import { startHttp2 } from "../../../lib/proxy/session/session-http2.ts"
import { startProxy } from "../../helpers/test-proxy.ts"
import { FrameWire, headers, request } from "../../helpers/wire/h2-frames.ts"

test("whatever happens before a flow begins is answered, counted and no end of the process", async (t) => {
  const proxy = await startProxy(t)
  const { core } = proxy.server
  const flows = new RunningFlows()
  let most = 0
  const server = createServer((socket) => {
    const session = startHttp2(socket, {
      core,
      connection: new ClientConnection(socket),
      around: { place: { kind: "open" }, settings: core.settings, self: core.upstream.self, claims: () => false },
      chain: () => new HookChain([], { clock: core.clock, budgetMs: 5_000 }),
      door: {
        isGuarded: true,
        serving: undefined,
        whoAsks: () => Promise.reject(new Error("nothing is served")),
        authorise: async (fields) => {
          most = Math.max(most, flows.count)
          if (fields.get("x") === "broken") throw new Error("broken on purpose")
          return new FlowError("client", "forbidden", "not you", { status: 407 })
        },
      },
      flows,
    })
    void session.serve()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const wire = await FrameWire.open(typeof address === "object" && address !== null ? address.port : 0)
  wire.write(headers(1, request("/")), headers(3, request("/", [["x", "broken"]])))
  t.equal(await wire.status(1), 407)
  t.equal(await wire.resetOf(3), 2)
  t.match(await proxy.logged("broken on purpose"), /^error /)
  t.equal(flows.count, 0)
  t.ok(most > 0)
  wire.socket.destroy()
  await wire.closed
})
