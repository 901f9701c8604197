/** The program with routes that a test declares, an origin behind it, and clients of both protocols. */
import type { Test } from "tap"
import { type AddonContext, defineAddon } from "../../lib/api/addon.ts"
import { call, openSession } from "../helpers/clients/h2-client.ts"
import { always, ok, startOrigin } from "../helpers/test-proxy.ts"
import { Wire } from "../helpers/wire/wire.ts"
import { folderWith, type StartOptions, startedWith } from "./started.ts"

export interface Asked {
  readonly method?: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface Answered {
  readonly status: number
  readonly text: string
  readonly field: (name: string) => string | undefined
}

/** Asks at the proxy's own address. */
export type Ask = (asked: Asked) => Promise<Answered>

export async function rig(t: Test, declare: (context: AddonContext) => void, options: StartOptions = {}) {
  const origin = await startOrigin(t, always(ok("the upstream")))
  const flows: string[] = []
  const setup = (context: AddonContext) => {
    declare(context)
    return undefined
  }
  const addon = defineAddon({ name: "panel", setup })
  const watcher = defineAddon({ name: "watcher", requestHeaders: (flow) => void flows.push(flow.request.path) })
  const flags = { baseUpstream: `http://127.0.0.1:${origin.port}`, ...options.flags }
  const running = await startedWith(t, await folderWith(t, {}), {
    ...options,
    builtin: [addon, watcher, ...(options.builtin ?? [])],
    flags,
  })
  return { ...running, origin, flows, protocols: await protocolsOf(t, running.port) }
}

/** A client of each protocol; that of HTTP/1.1 has a connection for each request. */
async function protocolsOf(t: Test, port: number): Promise<[name: string, ask: Ask][]> {
  const session = await openSession(t, `http://127.0.0.1:${port}`)
  return [
    ["HTTP/1.1", (asked) => askHttp1(port, asked)],
    [
      "HTTP/2",
      async ({ method = "GET", path, headers = {}, body }) => {
        const answer = await call(session, { ":method": method, ":path": path, ...headers }, body)
        const field = (name: string) => {
          const value = answer.headers[name]
          return value === undefined ? undefined : String(value)
        }
        return { status: answer.code === 0 ? answer.status : -answer.code, text: answer.body.toString(), field }
      },
    ],
  ]
}

/** One request as it is written, Host included where it is not given. */
export async function askHttp1(port: number, { method = "GET", path, headers = {}, body }: Asked): Promise<Answered> {
  const wire = await Wire.connect(port)
  const length = body === undefined ? {} : { "Content-Length": String(Buffer.byteLength(body)) }
  const fields = Object.entries({ Host: `127.0.0.1:${port}`, ...length, ...headers })
  wire.write(`${method} ${path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`)
  if (body !== undefined) wire.write(body)
  const { status, body: got, headers: fieldsGot } = await wire.response(method)
  wire.end()
  return { status, text: got.toString(), field: (name) => fieldsGot.get(name) }
}
