/** The program with an addon's file, and a client of it: for tests of what an addon is given. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Test } from "tap"
import type { AddonDefinition } from "../../lib/api/addon.ts"
import { HISTORY_FILE, STATE_FILE } from "../../lib/api/store.ts"
import { App } from "../../lib/app.ts"
import { makeLogger } from "../../lib/base/log.ts"
import type { Redactor } from "../../lib/base/secrets/redactor.ts"
import { NO_SOURCES } from "../../lib/options/sources.ts"
import { LazyStore } from "../../lib/store/lazy-store.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
import { bundledOnce } from "../helpers/bundled.ts"

const script = bundledOnce("lib/store/thread-link.ts")

export interface Started {
  readonly app: App
  readonly port: number
  readonly clock: ManualClock
  readonly lines: string[]
  /** What the addon answers to a request for a path, or to JSON that is posted there; parsed where it is JSON. */
  get(path: string, json?: object): Promise<unknown>
}

/** A folder with the addons' files, by name. */
export async function folderWith(t: Test, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "llmproxy-api-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  return folder
}

/** Starts the program in a folder, with its confdir in it. What stops the start, rejects. */
export function started(t: Test, folder: string, ...scripts: string[]): Promise<Started> {
  return startedWith(t, folder, {}, ...scripts)
}

export interface StartOptions {
  /** Options, as the command line would give them. */
  readonly flags?: Readonly<Record<string, unknown>>
  /** Addons that the test has made itself. */
  readonly builtin?: readonly AddonDefinition[]
  readonly redactor?: Redactor
}

/** The same, with more. */
export async function startedWith(
  t: Test,
  folder: string,
  { flags = {}, ...further }: StartOptions,
  ...scripts: string[]
): Promise<Started> {
  const lines: string[] = []
  const log = makeLogger((line, level) => lines.push(`${level} ${line}`))
  const clock = new ManualClock(Date.now())
  const confdir = join(folder, "conf")
  const places = { historyFile: join(confdir, HISTORY_FILE), stateFile: join(confdir, STATE_FILE) }
  const app = new App({
    sources: { ...NO_SOURCES, flags: { port: 0, ...flags } },
    scripts,
    places: { folders: [folder], shipped: undefined },
    confdir,
    log,
    store: new LazyStore({ ...places, log, script: await script }),
    clock,
    watch: false,
    ...further,
  })
  t.teardown(() => app.stop())
  const { port } = await app.start()
  const get = (path: string, json?: object) =>
    new Promise<unknown>((resolve, reject) => {
      const method = json === undefined ? "GET" : "POST"
      const headers = json === undefined ? {} : { "content-type": "application/json" }
      const options = { port, host: "127.0.0.1", path: `http://addon.test${path}`, method, headers }
      const asked = request(options, (answer) => {
        let text = ""
        answer.setEncoding("utf8").on("data", (piece) => {
          text += piece
        })
        answer.on("end", () => resolve(/^[[{]/.test(text) ? JSON.parse(text) : text))
      })
      asked.on("error", reject).end(json === undefined ? undefined : JSON.stringify(json))
    })
  return { app, port, clock, lines, get }
}
