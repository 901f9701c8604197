/**
 * An AddonManager for tests: the clock is turned by hand, log lines are kept, and nothing is watched unless asked for.
 */

import type { TokenService } from "../../lib/api/addon.ts"
import type { Clock } from "../../lib/base/clock.ts"
import { type Logger, makeLogger } from "../../lib/base/log.ts"
import { type HookScope, plainScope } from "../../lib/loader/chain.ts"
import { AddonManager } from "../../lib/loader/manager.ts"
import { NO_SOURCES, type OptionSources } from "../../lib/options/sources.ts"
import { OptionStore } from "../../lib/options/store.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"

export interface AddonHost {
  readonly manager: AddonManager
  readonly options: OptionStore
  readonly clock: ManualClock
  readonly lines: string[]
  readonly log: Logger
  scope(): HookScope
}

interface AddonHostOptions {
  folders?: string[]
  shipped?: string
  sources?: Partial<OptionSources>
  watch?: boolean
  /** Default: one that is turned by hand. */
  runOn?: Clock
  cacheDir?: string
}

const noTokens: TokenService = {
  countRequest: () => Promise.reject(new Error("not in this test")),
  countText: async (text) => text.length,
  boundRequest: () => 0,
  warm: () => Promise.resolve(),
  vocabulary: () => Promise.reject(new Error("not in this test")),
}

export function addonHost(settings: AddonHostOptions = {}): AddonHost {
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`), "debug")
  const options = new OptionStore({ ...NO_SOURCES, ...settings.sources })
  const clock = new ManualClock()
  const manager = new AddonManager({
    log,
    clock: settings.runOn ?? clock,
    options,
    budgetMs: 5_000,
    tokens: noTokens,
    modules: {
      llmproxy: () => import("../../lib/api/addon.ts"),
      "llmproxy/testing": () => import("../../lib/testing/manual-clock.ts"),
    },
    places: { folders: settings.folders ?? ["/"], shipped: settings.shipped },
    watch: settings.watch ?? false,
    ...(settings.cacheDir !== undefined && { cacheDir: settings.cacheDir }),
  })
  return { manager, options, clock, lines, log, scope: () => plainScope(log) }
}
