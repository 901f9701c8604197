/**
 * What the commands know of the process that they run in, passed in so that tests give them another: environment,
 * folders, streams, signals. processWorld() is the real one.
 */
import { homedir } from "node:os"
import { type Clock, systemClock } from "../base/clock.ts"
import { type Output, outputOf } from "./terminal/output.ts"

export interface World {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly home: string
  readonly platform: NodeJS.Platform
  /** Without the "v". */
  readonly nodeVersion: string
  readonly out: Output
  readonly err: Output
  readonly clock: Clock
  /** Calls `listener` for each SIGINT, SIGTERM and SIGHUP, in place of dying. Returns how to stop that. */
  onSignal(listener: (signal: NodeJS.Signals) => void): () => void
  /** Ends the process now. */
  exit(status: number): void
}

const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"]

export function processWorld(): World {
  return {
    env: process.env,
    cwd: process.cwd(),
    home: homedir(),
    platform: process.platform,
    nodeVersion: process.versions.node,
    out: outputOf(process.stdout),
    err: outputOf(process.stderr),
    clock: systemClock,
    onSignal(listener) {
      for (const signal of SIGNALS) process.on(signal, listener)
      return () => {
        for (const signal of SIGNALS) process.off(signal, listener)
      }
    },
    exit: (status) => process.exit(status),
  }
}
