/**
 * What the demo's processes tell each other over their IPC channels. They are of one build, so a message is told apart
 * by its kind and taken as it is.
 */

/** A host listens. */
interface Ready {
  readonly kind: "ready"
  readonly port: number
}

/** A host was asked: what came, as far as the demo tells of it. */
export interface Seen {
  readonly kind: "seen"
  readonly host: "local" | "cloud"
  readonly path: string
  /** Of the body as it arrived. */
  readonly bytes: number
  readonly sha256: string
  /** Whether a key came along. */
  readonly key: boolean
}

/** Ask this, please. */
export interface Job {
  readonly kind: "job"
  readonly door: Door
  readonly stream: boolean
  /** The user's message. */
  readonly text: string
}

/** How a client reaches the proxy. */
export type Door = "interception" | "base URL"

/** What the client got. */
export interface Outcome {
  readonly kind: "outcome"
  /** Of the body as it was sent. */
  readonly bytes: number
  readonly sha256: string
  readonly model: string
  readonly text: string
  /** Pieces of a stream that held text; 1 for a JSON answer. */
  readonly pieces: number
  readonly finishReason: string
  readonly tokensIn: number | undefined
  /** x-llmproxy-route and x-llmproxy-reason. */
  readonly route: string
  readonly reason: string
}

interface Failed {
  readonly kind: "failed"
  readonly message: string
}

export type Message = Ready | Seen | Job | Outcome | Failed

const KINDS: readonly string[] = ["ready", "seen", "job", "outcome", "failed"]

export function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && "kind" in value && KINDS.includes(String(value.kind))
}

/** In a process of the demo: what the demo says, until it is gone; then this process has nothing to do any more. */
export function onMessage(listener: (message: Message) => void): void {
  process.on("message", (value: unknown) => {
    if (isMessage(value)) listener(value)
  })
  process.on("disconnect", () => process.exit(0))
  // Ctrl-C reaches all processes of a terminal: the demo ends this one in its turn.
  process.on("SIGINT", () => {})
}

/** In a process of the demo. */
export function tell(message: Message): void {
  process.send?.(message)
}
