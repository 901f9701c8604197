/** The program with an addon that sends, one that looks on, and a host: for tests of the context's `send`. */
import type { Test } from "tap"
import type { AddonContext, AddonDefinition, OwnSendOptions } from "../../lib/api/addon.ts"
import type { Answer, Flow } from "../../lib/api/flow.ts"
import type { Hooks } from "../../lib/api/hooks.ts"
import { FlowError } from "../../lib/base/errors.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
import { answer, origin } from "../helpers/hosts/proxy-host.ts"
import { Wire } from "../helpers/wire/wire.ts"
import { folderWith, type StartOptions, startedWith } from "./started.ts"

export const GET = { method: "GET" } as const

export interface Jobs {
  readonly addon: AddonDefinition
  /** What its `setup` was given. */
  readonly context: AddonContext
  /** The program's clock. */
  readonly clock: ManualClock
  send(url: string, options?: Partial<OwnSendOptions>): Promise<Answer>
}

/** An addon of which the test has what its `setup` was given. `setUp` runs within it. */
export function jobs(hooks: Partial<Hooks> = {}, setUp = (_context: AddonContext) => {}): Jobs {
  let given: AddonContext | undefined
  const made: Jobs = {
    addon: {
      name: "jobs",
      setup(context) {
        given = context
        setUp(context)
        return hooks
      },
    },
    get context() {
      if (given === undefined) throw new Error("the addon is set up by then")
      return given
    },
    get clock() {
      const { clock } = made.context
      if (clock instanceof ManualClock) return clock
      throw new Error("the program runs on a clock that the test turns")
    },
    send: (url, options = {}) => made.context.send(GET, { url, ...options }),
  }
  return made
}

/** The hooks of an addon that writes down what it is told of flows. */
export function watching(name: string) {
  const seen: string[] = []
  /** Those that have ended. */
  const flows: Flow[] = []
  const hooks: Partial<Hooks> = {
    authenticate: ({ request }) => void seen.push(`authenticate ${request.path}`),
    requestHeaders: (flow) => void seen.push(`request ${flow.request.path}`),
    response: (flow) => {
      seen.push(`response ${flow.request.path}`)
      flows.push(flow)
    },
    error(flow, error) {
      seen.push(`error ${flow.request.path} ${error.code}`)
      flows.push(flow)
    },
  }
  return { hooks, seen, flows, addon: { name, ...hooks } satisfies AddonDefinition }
}

/** The program, and a host that answers with the path, but to /silent with nothing. */
export async function world(t: Test, options: StartOptions) {
  const host = await origin(t, ({ target }, socket) => {
    if (!target.endsWith("/silent")) socket.write(answer(`said ${target}`))
  })
  const started = await startedWith(t, await folderWith(t, {}), options)
  const connect = async () => {
    const wire = await Wire.connect(started.port)
    t.teardown(() => wire.socket.destroy())
    return wire
  }
  return { ...started, host, connect, url: (path: string) => `http://127.0.0.1:${host.port}${path}` }
}

/** Enough turns of the event loop for what is under way within this process. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** The code with which it was refused. */
export function refusalOf(sent: Promise<unknown>): Promise<string> {
  return sent.then(
    () => "sent",
    (thrown: unknown) => (thrown instanceof FlowError ? thrown.code : String(thrown)),
  )
}
