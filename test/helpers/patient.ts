/** Machines for doctor: everything is well unless the test says otherwise; HTTP is a table of URLs. */
import type { Ca } from "../../certs/ca.ts"
import type { Asking, Reply } from "../../lib/cli/doctor/ask.ts"
import type { Patient } from "../../lib/cli/doctor/check.ts"
import { conductorValues } from "../../lib/cli/doctor/conductor-values.ts"
import { CORE_OPTIONS } from "../../lib/options/core.ts"
import { resolveOptions } from "../../lib/options/resolve.ts"
import { NO_SOURCES } from "../../lib/options/sources.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"

export const REFUSED: Reply = { kind: "refused", why: "ECONNREFUSED" }
export const LATE: Reply = { kind: "late", why: "no answer within 2 s" }

export function answer(json: unknown, status = 200, ms = 12): Reply {
  return { kind: "answer", status, server: undefined, text: JSON.stringify(json), json, ms }
}

/** What an llmproxy says of itself. */
export const OURS: Reply = { kind: "answer", status: 200, server: "llmproxy", text: "<html>", json: undefined, ms: 12 }

export interface Asked extends Asking {
  readonly url: string
}

export type Answers = Record<string, Reply | ((asking: Asking) => Reply)>

/** A patient, and what was asked for it. URLs that are not in the table are refused if their server is not, else 404. */
export function makePatient(more: Partial<Patient> = {}, answers: Answers = {}): { patient: Patient; asked: Asked[] } {
  const asked: Asked[] = []
  const origins = new Set(Object.keys(answers).map((url) => new URL(url).origin))
  const patient: Patient = {
    env: {},
    clock: new ManualClock(),
    nodeVersion: "24.22.1",
    confdir: "/c",
    values: resolveOptions(undefined, CORE_OPTIONS, NO_SOURCES),
    conductor: conductorValues(NO_SOURCES),
    llama: { folder: "/c/node-llama-cpp", url: "file:///c/node-llama-cpp/index.js" },
    ask: async (url, asking = {}) => {
      asked.push({ url, ...asking })
      const found = answers[url]
      if (found === undefined) return origins.has(new URL(url).origin) ? answer({ error: "no" }, 404) : REFUSED
      return typeof found === "function" ? found(asking) : found
    },
    listens: async () => "free",
    loadCa: async () => undefined,
    isTrusted: async () => "unknown",
    holdsCa: async () => "yes",
    ...more,
  }
  return { patient, asked }
}

/** As much of a CA as doctor looks at. */
export function fakeCa(warnings: string[] = []): Ca {
  return { cert: { validTo: "Nov 17 11:08:10 2036 GMT" }, warnings } as unknown as Ca // the rest is never read
}
