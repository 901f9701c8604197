/**
 * What every client of a chat has to see through the conductor, and how a client program of test/fixtures/e2e says
 * what it saw: it makes four calls (a small prompt and a large one, whole and streamed) and prints one line of JSON.
 */
import { writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import type { Test } from "tap"
import type { OriginRequest } from "../../../lib/testing/origin.ts"
import { exitsWith, type Outcome, runThrough } from "../command-process.ts"
import {
  type ChatHosts,
  CLOUD_PIECES,
  CLOUD_TEXT,
  LARGE_PROMPT,
  LOCAL_PIECES,
  LOCAL_TEXT,
  SMALL_PROMPT,
  startChatHosts,
} from "../hosts/chat-hosts.ts"

/** By which way a client comes: through HTTPS_PROXY, or with the proxy as its base URL. */
export const WAYS = ["interception", "base URL"] as const
export type Way = (typeof WAYS)[number]

export const CLIENT_KEY = "sk-test-0123456789abcdef0123456789abcdef"

/** A call as a client program reports it. */
interface Call {
  readonly prompt: "small" | "large"
  readonly stream: boolean
  readonly text: string
  /** The pieces of a streamed answer as the client got them; null where it cannot tell them apart. */
  readonly pieces: readonly string[] | null
  readonly route: string | null
}

/** Runs a client program, by one way, and checks what it and the hosts saw. */
export async function checkChatClient(t: Test, command: readonly string[], way: Way): Promise<Outcome> {
  const hosts = await startChatHosts(t)
  await writeFile(join(hosts.folder, "prompts.json"), JSON.stringify({ small: SMALL_PROMPT, large: LARGE_PROMPT }))
  const env = { OPENAI_API_KEY: CLIENT_KEY }
  const outcome = await runThrough(t, hosts.flags, byWay(command, way), { folder: hosts.folder, env })
  exitsWith(t, 0, outcome)
  checkCalls(t, outcome)
  checkHosts(t, hosts)
  checkLines(t, outcome)
  return outcome
}

export function fixture(name: string): string {
  return resolve("test/fixtures/e2e", name)
}

/** The base URL that `run` prints is the address in HTTPS_PROXY with /v1: a shell gives it to the program. */
function byWay(command: readonly string[], way: Way): readonly string[] {
  if (way === "interception") return command
  return ["sh", "-c", 'OPENAI_BASE_URL="$HTTPS_PROXY/v1" exec "$@"', "sh", ...command]
}

function checkCalls(t: Test, { stdout }: Outcome): void {
  const calls = stdout.split("\n").filter((line) => line !== "")
  const parsed = calls.map((line): Call => JSON.parse(line))
  const seen = parsed.map(({ prompt, stream, text, route }) => ({ prompt, stream, text, route }))
  t.same(
    seen,
    [
      { prompt: "small", stream: false, text: LOCAL_TEXT, route: "local" },
      { prompt: "small", stream: true, text: LOCAL_TEXT, route: "local" },
      { prompt: "large", stream: false, text: CLOUD_TEXT, route: "cloud" },
      { prompt: "large", stream: true, text: CLOUD_TEXT, route: "cloud" },
    ],
    "text and route of each call",
  )
  for (const { prompt, stream, pieces } of parsed) {
    if (!stream || pieces === null) continue
    t.same(pieces, prompt === "small" ? LOCAL_PIECES : CLOUD_PIECES, `each piece of the ${prompt} prompt's answer`)
  }
}

function checkHosts(t: Test, { local, cloud }: ChatHosts): void {
  const asked = local.requests.filter(({ method }) => method === "POST")
  t.equal(asked.length, 2, "the local host got the small prompt twice")
  for (const { head, body } of asked) {
    t.match(body.toString("utf8"), SMALL_PROMPT)
    t.notMatch(head, /authorization|openai-/i, "and no key")
    t.notMatch(head, CLIENT_KEY)
  }
  t.same(cloud.requests.map(contentOf), [LARGE_PROMPT, LARGE_PROMPT], "the cloud got the large prompt twice")
  for (const { head } of cloud.requests) t.match(head, `Bearer ${CLIENT_KEY}`)
}

function contentOf({ body }: OriginRequest): string {
  const { messages }: { messages: { content: string }[] } = JSON.parse(body.toString("utf8"))
  return messages.map(({ content }) => content).join("")
}

function checkLines(t: Test, { stderr }: Outcome): void {
  const lines = stderr
    .split("\n")
    .filter((line) => /^[\d:]{8} [0-9a-f]{8} {2}POST api\.openai\.com\/v1\/chat\/completions /.test(line))
  const routes = lines.map((line) => / (local|cloud): /.exec(line)?.[1])
  t.same(routes, ["local", "local", "cloud", "cloud"], "a line each says where it went")
  t.notMatch(stderr, / not read: /, "and every answer was read, compressed as it may be")
}
