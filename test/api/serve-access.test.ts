/** Who may ask a route that only who runs the proxy may: by its token, or from this machine. */
import { readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { Headers } from "../../lib/base/headers.ts"
import { Redactor } from "../../lib/base/secrets/redactor.ts"
import { ClientConnection } from "../../lib/proxy/session/client-connection.ts"
import { isAdmin } from "../../lib/serve/access.ts"
import { askHttp1, rig } from "./serve-rig.ts"
import { folderWith, started, startedWith } from "./started.ts"

const ADMIN = { flags: { adminToken: "the-token-of-who-runs-the-proxy-itself" } }

test("a program of this machine is admitted, unless it forwards or shows a wrong token", async (t) => {
  const { protocols } = await rig(
    t,
    ({ serve }) => serve({ method: "GET", path: "/admin", access: "admin" }, () => new Response("served")),
    ADMIN,
  )
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  for (const [name, ask] of protocols) {
    for (const [headers, status] of [
      [{}, 200],
      [bearer(ADMIN.flags.adminToken), 200],
      [{ ...bearer(ADMIN.flags.adminToken), "x-forwarded-for": "192.0.2.1" }, 200],
      [{ authorization: `bearer  ${ADMIN.flags.adminToken}` }, 200],
      [{ authorization: "Basic YTpi" }, 200],
      [bearer("wrong"), 401],
      [bearer(`${ADMIN.flags.adminToken}x`), 401],
      [bearer(ADMIN.flags.adminToken.slice(1)), 401],
      [{ forwarded: "for=192.0.2.1" }, 401],
      [{ via: "1.1 outer" }, 401],
      [{ "x-real-ip": "192.0.2.1" }, 401],
      [{ "x-forwarded-for": "127.0.0.1" }, 401],
      [{ "x-forwarded-proto": "https" }, 401],
      [hostOf(name, "localhost"), 200],
      [hostOf(name, "[::1]"), 200],
      // By these a page in a browser reaches this machine without a word of where it comes from.
      [hostOf(name, "0.0.0.0"), 401],
      [hostOf(name, "[::]"), 401],
      [hostOf(name, "192.0.2.1"), 401],
      [{ ...hostOf(name, "0.0.0.0"), ...bearer(ADMIN.flags.adminToken) }, 200],
    ] as const) {
      const answer = await ask({ path: "/admin", headers })
      t.equal(answer.status, status, `${name} ${JSON.stringify(headers)}`)
      if (status === 401) t.equal(answer.field("www-authenticate"), 'Bearer realm="llmproxy"')
    }
  }
})

/** What names the server, in each protocol. */
function hostOf(protocol: string, host: string): Record<string, string> {
  return { [protocol === "HTTP/2" ? ":authority" : "Host"]: host }
}

test("another machine needs the token, once", (t) => {
  const asked = (address: string, ...credentials: string[]) => {
    const headers = new Headers([
      ["Host", "localhost:8080"],
      ...credentials.map((value) => ["Authorization", value] as const),
    ])
    const connection = new ClientConnection({ remoteAddress: address, remotePort: 1 })
    const head = {
      method: "GET",
      scheme: "http",
      host: "h",
      port: 80,
      path: "/",
      headers,
      version: "HTTP/1.1",
      upgrade: undefined,
    } as const
    return isAdmin({ head, connection }, "right")
  }
  for (const address of ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "unknown"]) {
    t.equal(asked(address), false, address)
    t.equal(asked(address, "Bearer right"), true, address)
    t.equal(asked(address, "Bearer right", "Bearer right"), false, address)
    t.equal(asked(address, "right"), false, address)
    t.equal(asked(address, "Bearer "), false, address)
  }
  for (const address of ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]) t.equal(asked(address), true, address)
  t.end()
})

const ROUTE =
  'export default { setup({ serve }) { serve({ method: "GET", path: "/admin", access: "admin" }, () => new Response("served")); return {} } }'

test("the token is made once, for its owner alone, and is shown nowhere", async (t) => {
  const folder = await folderWith(t, { "admin.ts": ROUTE })
  const redactor = new Redactor()
  const first = await startedWith(t, folder, { redactor }, "admin.ts")
  const ask = (port: number, token: string) =>
    askHttp1(port, { path: "/admin", headers: { Via: "1.1 a", Authorization: `Bearer ${token}` } })
  t.equal((await ask(first.port, "no")).status, 401)
  const file = join(folder, "conf", "admin-token")
  const token = (await readFile(file, "utf8")).trim()
  t.match(token, /^[\w-]{43}$/)
  if (process.platform !== "win32") t.equal((await stat(file)).mode & 0o777, 0o600)
  t.equal((await ask(first.port, token)).text, "served")
  t.notMatch(redactor.text(`it is ${token}, says a host`), token)
  t.notMatch(first.lines.join("\n"), token)
  await first.app.stop()
  const second = await started(t, folder, "admin.ts")
  t.equal((await ask(second.port, token)).text, "served", "and outlasts the program")
  await second.app.stop()
  await writeFile(file, "short\n")
  await t.rejects(started(t, folder, "admin.ts"), {
    message: /admin-token: it holds no secret of 32 to 512 characters; remove it/,
  })
})
