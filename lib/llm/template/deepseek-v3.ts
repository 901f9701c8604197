/**
 * DeepSeek's prompt formats since V3: V3 (as of March 2025), R1 and V3.1. They share their tokens and differ in where the
 * mark of the model's turn stands, in what is kept of its thoughts, and in how tools are written.
 * Source: the chat templates in the models' tokenizer_config.json.
 */
import { asText, type Call, type ChatTemplate, type Turn, turnsOf } from "./chat-template.ts"
import { END_OF_SENTENCE, WIDE_TOKENS } from "./deepseek.ts"

const USER = "<｜User｜>"
const MODEL = "<｜Assistant｜>"
const STOP = [END_OF_SENTENCE, USER]
const THOUGHTS_END = "</think>"

const CALLS_BEGIN = "<｜tool▁calls▁begin｜>"
const CALLS_END = "<｜tool▁calls▁end｜>"
const CALL_BEGIN = "<｜tool▁call▁begin｜>"
const CALL_END = "<｜tool▁call▁end｜>"
const CALL_SEPARATOR = "<｜tool▁sep｜>"
const OUTPUTS_BEGIN = "<｜tool▁outputs▁begin｜>"
const OUTPUTS_END = "<｜tool▁outputs▁end｜>"
const OUTPUT_BEGIN = "<｜tool▁output▁begin｜>"
const OUTPUT_END = "<｜tool▁output▁end｜>"

interface Form {
  readonly name: string
  /** Behind a user's text. */
  readonly afterUser?: string
  /** Before what the model says or calls; `before` spoke last. */
  said?(turn: Turn, before: Turn["role"] | undefined): string
  /** What stays of an answer. An answer that calls tools, or follows them, stays whole. */
  kept(text: string): string
  /** The end of the prompt, where neither `afterUser` nor a tool's output leads to the model's words. */
  readonly next: string
  call(call: Call): string
  readonly betweenCalls: string
  /** Around the outputs of one round of calls, and between them. */
  readonly outputs: readonly [begin: string, between: string, end: string]
}

/** A call with its arguments as a block of code. */
function fenced({ name, arguments: json }: Call): string {
  return `function${CALL_SEPARATOR}${name}\n\`\`\`json\n${json}\n\`\`\``
}

/** The mark stands behind every text of a user, whoever speaks next, and before no answer. */
export const DEEPSEEK_V3 = template({
  name: "deepseek-v3",
  afterUser: MODEL,
  kept: (text) => text,
  next: MODEL,
  call: fenced,
  betweenCalls: "\n",
  outputs: [OUTPUTS_BEGIN, "\n", OUTPUTS_END],
})

/** The model thinks first; its history has what it said after its last thought. */
export const DEEPSEEK_R1 = template({
  name: "deepseek-r1",
  said: ({ calls }, before) => (before === "tool" && calls.length === 0 ? "" : MODEL),
  kept: (text) => behindThoughts(text, text.lastIndexOf(THOUGHTS_END)),
  next: `${MODEL}<think>\n`,
  call: fenced,
  betweenCalls: "\n",
  outputs: [OUTPUTS_BEGIN, "", OUTPUTS_END],
})

/** Without thinking. Answers in a row are one turn of the model, whose history has what it said after its first thought. */
export const DEEPSEEK_V3_1 = template({
  name: "deepseek-v3.1",
  said: (_, before) => (before === "user" ? MODEL + THOUGHTS_END : ""),
  kept: (text) => behindThoughts(text, text.indexOf(THOUGHTS_END)),
  next: MODEL + THOUGHTS_END,
  call: ({ name, arguments: json }) => `${name}${CALL_SEPARATOR}${json}`,
  betweenCalls: "",
  outputs: ["", "", ""],
})

/** System texts, wherever they stand, come first, with an empty line between them and none behind. */
function template(form: Form): ChatTemplate {
  return {
    name: form.name,
    stop: STOP,
    cut: STOP,
    render(messages, options = {}) {
      const turns = turnsOf(messages)
      const systems = turns.filter(({ role }) => role === "system").map(({ text }) => text)
      const system = systems.length === 0 ? (options.system ?? "") : systems.filter((text) => text !== "").join("\n\n")
      const spoken = turns.filter(({ role }) => role !== "system")
      return { prompt: system + conversation(form, spoken), stop: [...STOP] }
    },
  }
}

function conversation(form: Form, turns: readonly Turn[]): string {
  const [begin, between, end] = form.outputs
  let prompt = ""
  let before: Turn["role"] | undefined
  for (const turn of turns) {
    if (before === "tool" && turn.role !== "tool") prompt += end
    if (turn.role === "user") prompt += USER + asText(turn.text, WIDE_TOKENS) + (form.afterUser ?? "")
    else if (turn.role === "assistant") prompt += answer(form, turn, before)
    else prompt += (before === "tool" ? between : begin) + OUTPUT_BEGIN + asText(turn.text, WIDE_TOKENS) + OUTPUT_END
    before = turn.role
  }
  if (before === "tool") return prompt + end
  return before === "user" && form.afterUser !== undefined ? prompt : prompt + form.next
}

function answer(form: Form, turn: Turn, before: Turn["role"] | undefined): string {
  const { text, calls } = turn
  const kept = calls.length > 0 || before === "tool" ? text : form.kept(text)
  const said = (form.said?.(turn, before) ?? "") + asText(kept, WIDE_TOKENS)
  if (calls.length === 0) return said + END_OF_SENTENCE
  const called = calls.map((call) => CALL_BEGIN + form.call(harmless(call)) + CALL_END).join(form.betweenCalls)
  return said + CALLS_BEGIN + called + CALLS_END + END_OF_SENTENCE
}

function harmless(call: Call): Call {
  return { name: asText(call.name, WIDE_TOKENS), arguments: asText(call.arguments, WIDE_TOKENS) }
}

function behindThoughts(text: string, end: number): string {
  return end === -1 ? text : text.slice(end + THOUGHTS_END.length)
}
