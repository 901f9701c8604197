/** An addon that does nothing but send what comes to targets, in the real program. */
import type { Flow, FlowError } from "../../lib/index.ts"
import { attemptsOf, type Plan, type PoolSettings, type Target, TargetPool } from "../../lib/targets/index.ts"
import { type AskedRequest, type LoadAddonOptions, loadAddon } from "../../lib/testing/index.ts"

export function target(name: string, more: Partial<Target> = {}): Target {
  return { name, url: `http://${name}.test/v1`, isLocal: false, ...more }
}

export interface Rig {
  readonly addon: Awaited<ReturnType<typeof loadAddon>>
  plan: Plan
  readonly pool: TargetPool
  /** Of the client's flows, in their order. */
  attempts(): string[]
  /** Hosts that were asked. */
  hosts(): string[]
}

export async function startRig(
  targets: readonly Target[],
  {
    settings = {},
    plan = {},
    hook = "llmRequest",
    load = {},
  }: {
    settings?: PoolSettings
    plan?: Partial<Plan>
    hook?: "llmRequest" | "request"
    load?: LoadAddonOptions
  } = {},
): Promise<Rig> {
  let pool: TargetPool | undefined
  const take = async (flow: Flow) => {
    if (flow.parent === undefined) await pool?.take(flow, rig.plan)
  }
  const addon = await loadAddon(
    {
      name: "router",
      setup(context) {
        const made = new TargetPool(context, settings)
        pool = made
        return {
          [hook]: take,
          responseHeaders: (flow: Flow) => made.hooks.responseHeaders(flow),
          response: (flow: Flow) => made.hooks.response(flow),
          error: (flow: Flow, error: FlowError) => made.hooks.error(flow, error),
        }
      },
    },
    load,
  )
  if (pool === undefined) throw new Error("the addon was not set up")
  const rig: Rig = {
    addon,
    pool,
    plan: { targets, ...plan },
    attempts: () =>
      addon.flows
        .filter(({ parent }) => parent === undefined)
        .map((flow) =>
          attemptsOf(flow)
            .map(({ target, result, status }) => [target, result, status].filter(Boolean).join(" "))
            .join(", "),
        ),
    hosts: () => addon.asked.map(hostOf),
  }
  return rig
}

export function hostOf({ url }: Pick<AskedRequest, "url">): string {
  return new URL(url).hostname.replace(/\.test$/, "")
}
