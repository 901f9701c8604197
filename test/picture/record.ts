/**
 * What the terminal shows, recorded for README: the command line itself in this process, with the conductor, between scripted
 * hosts and by a clock that they turn; then the same text as a picture. Nothing in it is written by hand but the command.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { JsonObject } from "../../lib/base/json.ts"
import { main } from "../../lib/cli/main.ts"
import { ManualClock } from "../../lib/testing/manual-clock.ts"
import type { TestAnswer } from "../../lib/testing/test-answer.ts"
import { type AskedRequest, authority, TestUpstream } from "../../lib/testing/test-upstream.ts"
import { hostNamed } from "../helpers/hosts/local-hosts.ts"
import { FakeWorld } from "../helpers/world.ts"

export const COLUMNS = 110
export const PICTURE = "docs/terminal.svg"
/** 1 January 2026, 09:41:07 on this machine's clock, wherever it stands. */
const BEGIN = new Date(2026, 0, 1, 9, 41, 7).getTime()
/** The ids of the requests, in their order: those that the program makes are random. */
const IDS = ["9ebe90bb", "d7517ef0", "4d7c6e17", "51c0ffee"]
const COMMAND = "llmproxy -s addons/conductor.ts -p 8080"
/** A key's form without a key: it is never sent to anybody but the scripted hosts. */
const KEY = `sk-${"picture".repeat(4)}1234`

/** What is written to the terminal, with its colours. */
export async function recording(): Promise<string> {
  const clock = new ManualClock(BEGIN)
  const upstream = await TestUpstream.start(clock)
  const home = await mkdtemp(join(tmpdir(), "llmproxy-picture-"))
  try {
    const caFile = join(home, "hosts.pem")
    await writeFile(caFile, (await authority()).certPem)
    const hosts = new Hosts(clock)
    upstream.answers = [(asked) => hosts.answer(asked)]
    const env = { FORCE_COLOR: "1", OPENAI_API_KEY: KEY }
    const world = new FakeWorld({ home, cwd: process.cwd(), env, clock, columns: COLUMNS })
    const shown: string[] = []
    for (const output of [world.out, world.err]) {
      const write = output.write.bind(output)
      output.write = (text) => {
        shown.push(text)
        write(text)
      }
    }
    const flags = [
      "--confdir",
      join(home, "conf"),
      "--upstream-ca",
      caFile,
      "--connect-to",
      `::127.0.0.1:${upstream.port}`,
    ]
    const ending = main(["-s", "addons/conductor.ts", "-p", "0", ...flags], world)
    await Promise.race([world.err.until("local host"), ending])
    const port = /listening on \S*:(\d+)/.exec(world.err.text)?.[1] ?? ""
    for (const chat of CHATS) {
      hosts.begin(chat)
      const { length } = world.out.text
      await ask(Number(port), chat)
      await world.out.until(new RegExp(`^[^]{${length}}[^]+\\n$`)) // its lines are one write
      clock.advance(4_000)
    }
    shown.push("^C\n")
    world.signal("SIGINT")
    await ending
    return fixed(`$ ${COMMAND}\n${shown.join("")}`, { port, confdir: ` --confdir ${join(home, "conf")}` })
  } finally {
    await upstream.close()
    await rm(home, { recursive: true, force: true })
  }
}

/** A request of an agent, and what the model says to it. */
interface Chat {
  readonly body: JsonObject
  readonly says: TestAnswer
  /** Milliseconds until the host answers. */
  readonly thinks: number
}

const asks = (content: string, more: JsonObject = {}): JsonObject => ({
  model: "gpt-4o",
  messages: [
    { role: "system", content: "You are a full-stack developer. You write clean code." },
    { role: "user", content },
  ],
  ...more,
})
const usage = (inputTokens: number, outputTokens: number) => ({
  usage: { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens },
})
const PLAN = asks('Plan a notes app. Respond as JSON of the form {"plan": [{"description": "..."}]}')
const CHATS: readonly Chat[] = [
  {
    body: asks("Which database should it use?", { stream: true }),
    says: { completion: { text: "SQLite: one file, no server.", ...usage(41, 9) } },
    thinks: 640,
  },
  { body: PLAN, says: { completion: { text: '{"plan": []}', ...usage(52, 6) } }, thinks: 380 },
  {
    body: asks(`Review the whole repository:\n${"const note = await db.get(id)\n".repeat(1_000)}`),
    says: { completion: { text: "It lacks tests.", ...usage(10_838, 5) } },
    thinks: 1_900,
  },
]
const PLANNED: TestAnswer = { completion: { text: '{"plan": [{"description": "Store notes."}]}', ...usage(60, 14) } }

/** LM Studio's pages, and what a model says to what was asked last; the clock goes on while it thinks. */
class Hosts {
  readonly #clock: ManualClock
  chat: Chat | undefined
  #tries = 0

  constructor(clock: ManualClock) {
    this.#clock = clock
  }

  begin(chat: Chat): void {
    this.chat = chat
    this.#tries = 0
  }

  answer({ method, url }: AskedRequest): TestAnswer {
    if (method === "GET") {
      const page = hostNamed("LM Studio").pages[new URL(url).pathname]
      return page === undefined
        ? { status: 404, json: { error: "Unexpected endpoint or method." } }
        : { json: asJson(page) }
    }
    const { says, thinks, body } = this.chat ?? { says: { status: 500 }, thinks: 0, body: {} }
    this.#clock.advance(thinks)
    this.#tries += 1
    return body === PLAN && this.#tries > 1 ? PLANNED : says
  }
}

function asJson(page: object): JsonObject {
  return JSON.parse(JSON.stringify(page))
}

/** Resolves when the answer has come whole. */
function ask(port: number, { body }: Chat): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" }
    const asked = request({ port, method: "POST", path: "/v1/chat/completions", headers, agent: false }, (response) => {
      response.resume().once("end", resolve)
    })
    asked.once("error", reject)
    asked.end(JSON.stringify(body))
  })
}

/** Its port, folder and ids are others each time, and whether the last client has closed its connection by the end. */
function fixed(text: string, { port, confdir }: { readonly port: string; readonly confdir: string }): string {
  const ids = [...IDS]
  return text
    .replace(`llmproxy env -p ${port}${confdir}`, "llmproxy env")
    .replaceAll(`:${port}`, ":8080")
    .replace(/^ending: open streams get .*\n/m, "")
    .replace(/(?<=\d\d:\d\d:\d\d )[0-9a-f]{8}/g, () => ids.shift() ?? "")
}
