/**
 * What the commands know of the process that they run in, passed in so that tests give them another: environment,
 * folders, streams, signals. processWorld() is the real one.
 */
import { homedir } from "node:os"
import { type Clock, systemClock } from "../clock.ts"
import { systemCodeOf } from "../errors.ts"

export interface Output {
  write(text: string): void
  readonly isTerminal: boolean
  /** Characters in a line of the terminal; undefined where there is none. */
  readonly columns: number | undefined
}

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

/**
 * A stream as an output. When its reader has gone (`llmproxy | head`), what is written is dropped: the reader of the
 * lines ends, the traffic does not.
 */
export function outputOf(stream: NodeJS.WriteStream | NodeJS.WritableStream): Output {
  let isOpen = true
  stream.on("error", (error) => {
    if (systemCodeOf(error) !== "EPIPE") throw error
    isOpen = false
  })
  const terminal = "isTTY" in stream && stream.isTTY === true ? stream : undefined
  return {
    write: (text) => {
      if (isOpen) stream.write(text)
    },
    isTerminal: terminal !== undefined,
    get columns() {
      return terminal?.columns
    },
  }
}
