/**
 * The life of a flow as a table: what happens to it leads from one phase to the next, and what an addon may ask of it
 * depends on the phase alone. Pure. exchange-state.ts keeps a flow's phase, and is the only one to change it.
 *
 * A flow that fails stays in the phase that it had come to, which decides what can still be asked of it while its last
 * hooks run. What differs from then on is FAILED.
 */

/**
 * - `request`: its hooks run, from `authenticate` to `llmRequest`; or an addon's reply is being made.
 * - `upstream`: the request is on its way, and the answer's head is waited for.
 * - `head`: the head is there and `responseHeaders` runs.
 * - `answer`: the answer is on its way to the client, or about to be. A 101 and what follows it are, too.
 * - `held`: the answer is kept back, and those that hold it hear first what it means.
 * - `ended`: its last hook has run.
 */
export type Phase = "request" | "upstream" | "head" | "answer" | "held" | "ended"

/**
 * - `ask`: nobody has answered, so the upstream is asked.
 * - `arrive`: there is a head, the upstream's or an addon's; or another one in its place.
 * - `pass`: `responseHeaders` has run, and what it asked for stands.
 * - `hold`: somebody keeps the answer back.
 * - `send`: the answer, or what was put in its place, goes to the client.
 * - `end`: the last hook has run, however the flow went.
 */
export type FlowEvent = "ask" | "arrive" | "pass" | "hold" | "send" | "end"

/**
 * - `respond`: answers in the upstream's place, or puts another answer in the place of one whose head is there, or that is
 *   held.
 * - `route`: says where to; a name, a reason or tokens alone may be said at any time.
 * - `shape`: hold, transform, collect or keep the answer; its status and text.
 * - `edit`: says what a held answer is to say instead.
 * - `keepLocal`: binds the flow to this machine. What is said too late is checked with what is sent next.
 * - `send`: sends a child flow.
 * - `fail`: breaks the flow off, as `kill` does.
 */
export type Deed = "respond" | "route" | "shape" | "edit" | "keepLocal" | "send" | "fail"

/** `yes`: it is done. `late`: it throws. `void`: nothing comes of it, and nobody is told. `over`: the flow is no more. */
export type Ruling = "yes" | "late" | "void" | "over"

interface Row {
  readonly next: Readonly<Partial<Record<FlowEvent, Phase>>>
  readonly may: Readonly<Record<Deed, Ruling>>
}

// biome-ignore format: a table
export const LIFE: Readonly<Record<Phase, Row>> = {
  request:  { next: { ask: "upstream", arrive: "head", end: "ended" },
              may: { respond: "yes",  route: "yes",  shape: "late", edit: "late", keepLocal: "yes", send: "yes",  fail: "yes" } },
  upstream: { next: { arrive: "head", end: "ended" },
              may: { respond: "late", route: "late", shape: "late", edit: "late", keepLocal: "yes", send: "yes",  fail: "yes" } },
  head:     { next: { arrive: "head", pass: "answer", end: "ended" },
              may: { respond: "yes",  route: "late", shape: "yes",  edit: "late", keepLocal: "yes", send: "yes",  fail: "yes" } },
  answer:   { next: { hold: "held", send: "answer", end: "ended" },
              may: { respond: "late", route: "late", shape: "late", edit: "late", keepLocal: "yes", send: "yes",  fail: "yes" } },
  held:     { next: { send: "answer", end: "ended" },
              may: { respond: "yes",  route: "late", shape: "late", edit: "yes",  keepLocal: "yes", send: "yes",  fail: "yes" } },
  ended:    { next: {},
              may: { respond: "void", route: "late", shape: "late", edit: "late", keepLocal: "yes", send: "over", fail: "void" } },
}

/** Of a flow that has failed: it has no use for an answer, and its first reason counts. */
export const FAILED: Readonly<Partial<Record<Deed, Ruling>>> = { respond: "void", fail: "void" }

const LATE: Readonly<Partial<Record<Deed, string>>> = {
  respond:
    "flow.respond() comes too late: an answer is replaced in responseHeaders, or in llmResponse where it is held",
  edit: "response.completion comes too late, or too early: it is set in llmResponse of an answer that is held",
  route: "flow.route() comes too late: the request has been sent",
}

/** The phase that `event` leads to. Throws where it cannot happen: that is a mistake of ours. */
export function next(phase: Phase, event: FlowEvent): Phase {
  const to = LIFE[phase].next[event]
  if (to === undefined) throw new Error(`a flow in the phase ${phase} cannot ${event}`)
  return to
}

export function ruling(phase: Phase, failed: boolean, deed: Deed): Ruling {
  return (failed ? FAILED[deed] : undefined) ?? LIFE[phase].may[deed]
}

/** What is said to whoever comes too late with `deed`. */
export function tooLate(deed: Deed): Error {
  return new Error(LATE[deed] ?? `flow.${deed}() comes too late`)
}
