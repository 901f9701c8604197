/** Every way in asks for a key: tunnels, requests through the proxy, SOCKS5; and what is shown as one stays here. */
import { join } from "node:path"
import { type Test, test } from "tap"
import { BELIEVED_MS } from "../../../addons/keys/book.ts"
import { makeKey } from "../../../addons/keys/secret.ts"
import { main } from "../../../lib/cli/main.ts"
import { folderWith, startedWith } from "../../api/started.ts"
import { always, ok, startOrigin } from "../../helpers/test-proxy.ts"
import { Wire } from "../../helpers/wire/wire.ts"
import { FakeWorld } from "../../helpers/world.ts"

const basic = (password: string) => `Basic ${Buffer.from(`any:${password}`).toString("base64")}`

/** What is written past the log while `run` runs. */
async function shownBy<T>(run: () => Promise<T>): Promise<{ result: T; shown: string }> {
  const { write } = process.stderr
  let shown = ""
  process.stderr.write = (text: string | Uint8Array) => {
    shown += String(text)
    return true
  }
  try {
    return { result: await run(), shown }
  } finally {
    process.stderr.write = write
  }
}

/** The program with keys, its master key, an upstream, and the command beside it. */
async function world(t: Test, flags: Readonly<Record<string, unknown>> = {}) {
  const origin = await startOrigin(t, always(ok("the upstream")))
  const folder = await folderWith(t, {})
  const start = () =>
    startedWith(
      t,
      folder,
      { flags: { baseUpstream: `http://127.0.0.1:${origin.port}`, ...flags } },
      join(process.cwd(), "addons/keys.ts"),
    )
  const { result, shown } = await shownBy(start)
  const keys = async (...argv: string[]) => {
    const one = new FakeWorld({ home: folder, cwd: folder })
    t.equal(await main(["keys", ...argv, "--confdir", join(folder, "conf")], one), 0)
    return one.out.text.trim()
  }
  const connect = async () => {
    const wire = await Wire.connect(result.port)
    t.teardown(() => wire.socket.destroy())
    return wire
  }
  return { ...result, start, origin, shown, keys, connect }
}

test("the first start makes a master key and shows it once, past the log", async (t) => {
  const { shown, lines, start, connect, app } = await world(t)
  const master = /^The master key, shown this once: (llmproxy-[a-z2-7]{32})$/m.exec(shown)?.[1] ?? ""
  t.not(master, "")
  t.notMatch(lines.join("\n"), master)
  const wire = await connect()
  wire.write(`GET /auth HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${master}\r\n\r\n`)
  t.equal((await wire.response()).text, '{"auth":true}')
  await app.stop()
  t.equal((await shownBy(start)).shown, "", "it is there, and is not shown again")
})

test("a tunnel's key is its requests', another key in it counts, and a revoked one ends it", async (t) => {
  const { connect, keys, clock, origin } = await world(t)
  const [ann, bob] = [
    await keys("create", "--label", "ann", "--upstreams", "127.0.0.1"),
    await keys("create", "--label", "bob"),
  ]
  const far = await keys("create", "--label", "far", "--upstreams", "api.example")
  const open = async (fields: string) => {
    const wire = await connect()
    wire.write(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: h\r\n${fields}\r\n`)
    return { wire, status: (await wire.response("CONNECT")).status }
  }
  const with_ = (value: string) => `Proxy-Authorization: ${value}\r\n`
  for (const fields of ["", with_(basic("wrong")), with_(`Bearer ${makeKey()}`)])
    t.equal((await open(fields)).status, 407)
  t.equal((await open(with_(basic(far)))).status, 403, "a host that this key may not ask")
  t.equal((await open(with_(`Bearer ${bob}`))).status, 200)
  const { wire, status } = await open(with_(basic(ann)))
  t.equal(status, 200)
  const ask = async (fields: string) => {
    wire.write(`GET /x HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\n${fields}\r\n`)
    return (await wire.response()).status
  }
  t.equal(await ask("Authorization: Bearer sk-of-the-server\r\n"), 200)
  t.equal(await ask(`Authorization: Bearer ${bob}\r\n`), 200)
  t.equal(await ask(`Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.${bob}\r\n`), 200)
  t.equal(await ask(`x-api-key: ${makeKey()}\r\n`), 401, "a key of ours that is none")
  await keys("revoke", "ann")
  clock.advance(BELIEVED_MS)
  t.equal(await ask(""), 401)
  const heads = origin.requests.map(({ head }) => head).join("\n")
  t.match(heads, "sk-of-the-server")
  t.match(heads, /sec-websocket-protocol: realtime$/im)
  t.notMatch(heads, /llmproxy-|proxy-authorization/i)
})

test("a request through the proxy shows its key to the proxy, and gets 407 without", async (t) => {
  const { connect, keys, origin } = await world(t)
  const [key, far] = [await keys("create"), await keys("create", "--upstreams", "api.example")]
  const wire = await connect()
  const ask = async (fields: string) => {
    wire.write(`GET http://127.0.0.1:${origin.port}/x HTTP/1.1\r\nHost: 127.0.0.1\r\n${fields}\r\n`)
    return (await wire.response()).status
  }
  t.same([await ask(""), await ask(`Proxy-Authorization: ${basic(makeKey())}\r\n`)], [407, 407])
  t.equal(await ask(`Proxy-Authorization: ${basic(key)}\r\n`), 200)
  t.equal(await ask(`Proxy-Authorization: ${basic(far)}\r\n`), 403)
  t.notMatch(origin.requests.map(({ head }) => head).join("\n"), /llmproxy-|proxy-authorization/i)
})

test("SOCKS5's password is a key", async (t) => {
  const { connect, keys } = await world(t, { mode: "socks5" })
  const key = await keys("create")
  for (const [password, said] of [
    [key, [1, 0]],
    [makeKey(), [1, 1]],
  ] as const) {
    const wire = await connect()
    wire.write(
      Buffer.concat([
        Buffer.from([5, 1, 2, 1, 1]),
        Buffer.from("u"),
        Buffer.from([password.length]),
        Buffer.from(password),
      ]),
    )
    while (wire.bytes.length < 4) await new Promise((resolve) => setImmediate(resolve))
    t.same([...wire.take()].slice(2), said)
  }
})
