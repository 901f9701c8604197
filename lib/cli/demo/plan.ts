/**
 * What the demo asks, and what has to come of it. Pure: demo.ts makes it happen and prints it.
 */
import { CLOUD_SCRIPT, LOCAL_SCRIPT } from "./host.ts"
import type { Door, Job, Outcome, Seen } from "./messages.ts"

/** The conductor's default: what needs as many tokens goes to the cloud. */
export const THRESHOLD = 8_192
/** Far enough above it that no way of counting says otherwise. */
const LARGE_WORDS = 12_000

export interface Step {
  readonly job: Job
  readonly size: "small" | "large"
  /** Where it has to go. */
  readonly host: "local" | "cloud"
}

const SMALL_TEXT = "What does a proxy do? Answer in one sentence."

export function largeText(): string {
  const words = ["every", "word", "of", "this", "long", "text", "counts", "as", "at", "least", "one", "token"]
  return Array.from({ length: LARGE_WORDS }, (_, i) => words[i % words.length]).join(" ")
}

/** Small and large, streaming and not, by both doors. */
export function steps(): Step[] {
  const doors: Door[] = ["interception", "base URL"]
  return doors.flatMap((door) =>
    (["small", "large"] as const).flatMap((size) =>
      [true, false].map((stream): Step => {
        const text = size === "small" ? SMALL_TEXT : largeText()
        return { size, host: size === "small" ? "local" : "cloud", job: { kind: "job", door, stream, text } }
      }),
    ),
  )
}

/** Everything that is known of a step when it is over. */
export interface Result {
  readonly outcome: Outcome
  /** What the hosts saw meanwhile. */
  readonly seen: readonly Seen[]
  /** What the proxy printed of it. */
  readonly line: string
}

/** What went otherwise than told: empty when all is well. */
export function differences({ host, job }: Step, { outcome, seen, line }: Result): string[] {
  const script = host === "local" ? LOCAL_SCRIPT : CLOUD_SCRIPT
  const [request] = seen
  const found: string[] = []
  const expect = (holds: boolean, told: string) => {
    if (!holds) found.push(told)
  }
  expect(seen.length === 1, `the hosts were asked ${seen.length} times, not once`)
  expect(request?.host === host, `the request went to the ${request?.host ?? "nobody"}, not to the ${host} host`)
  expect(outcome.text.trim() === script.answer, `the client read ${JSON.stringify(outcome.text.slice(0, 80))}`)
  expect(outcome.model === script.model, `the client was told the model ${outcome.model}, not ${script.model}`)
  expect(outcome.finishReason === "stop", `the answer ended with ${outcome.finishReason || "no finish reason"}`)
  expect(outcome.route === host, `x-llmproxy-route says ${outcome.route || "nothing"}, not ${host}`)
  expect(outcome.reason !== "", "x-llmproxy-reason says nothing")
  expect((outcome.tokensIn ?? 0) > 0, "the client was told no usage")
  expect(!job.stream || outcome.pieces > 1, "the stream came in one piece")
  expect(line.includes(host), `the proxy's line does not name the route: ${line}`)
  if (host === "local") expect(request?.key === false, "the key reached the local host")
  else {
    expect(request?.key === true, "the cloud got no key")
    expect(request?.sha256 === outcome.sha256, "the cloud got other bytes than the client sent")
  }
  return found
}
