/**
 * curl through `llmproxy run` and the conductor: the client whose bytes a test can see whole, so what passes to the
 * cloud is compared byte for byte, both ways.
 */
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { CLIENT_KEY, WAYS, type Way } from "../helpers/chat-clients.ts"
import {
  answerEvents,
  CLOUD_MODEL,
  CLOUD_PIECES,
  LARGE_PROMPT,
  LOCAL_TEXT,
  SMALL_PROMPT,
  startChatHosts,
} from "../helpers/chat-hosts.ts"
import { exitsWith, missing, runThrough } from "../helpers/command-process.ts"
import { always, ok, startOrigin } from "../helpers/test-proxy.ts"

const skip = missing("curl")

/** A request as nobody's JSON printer writes it: a proxy that reads and rewrites it is found out. */
function bodyOf(prompt: string, stream: boolean): string {
  return `{"model" :"gpt-4o","stream": ${stream},\n  "messages":[ {"content":"${prompt}","role":"user"} ], "x":1.0}`
}

function curl(way: Way, file: string): string[] {
  const place = way === "interception" ? "https://api.openai.com" : "$HTTPS_PROXY"
  const fields = `-H 'Content-Type: application/json' -H 'Authorization: Bearer ${CLIENT_KEY}'`
  return ["sh", "-c", `exec curl -sSN -D head.txt ${fields} --data-binary @${file} ${place}/v1/chat/completions`]
}

for (const way of WAYS) {
  test(`curl by ${way}: a small prompt is answered by the local model`, { skip }, async (t) => {
    const { folder, flags, local, cloud } = await startChatHosts(t)
    await writeFile(join(folder, "small.json"), bodyOf(SMALL_PROMPT, false))
    const outcome = await runThrough(t, flags, curl(way, "small.json"), { folder })
    exitsWith(t, 0, outcome)
    t.equal(JSON.parse(outcome.stdout).choices[0].message.content, LOCAL_TEXT)
    t.match(await readFile(join(folder, "head.txt"), "latin1"), /^x-llmproxy-route: local\r$/m)
    t.match(local.requests.at(-1)?.body.toString("utf8"), SMALL_PROMPT)
    t.equal(cloud.requests.length, 0)
  })

  test(`curl by ${way}: a large prompt and its stream pass as they are, byte for byte`, { skip }, async (t) => {
    const { folder, flags, local, cloud } = await startChatHosts(t)
    const body = bodyOf(LARGE_PROMPT, true)
    await writeFile(join(folder, "large.json"), body)
    const outcome = await runThrough(t, flags, curl(way, "large.json"), { folder })
    exitsWith(t, 0, outcome)
    t.equal(cloud.requests[0]?.body.toString("utf8"), body)
    t.match(cloud.requests[0]?.head, /^Host: api\.openai\.com$/m)
    t.equal(outcome.stdout, answerEvents(CLOUD_MODEL, CLOUD_PIECES, true).join(""))
    t.match(await readFile(join(folder, "head.txt"), "latin1"), /^x-llmproxy-route: cloud\r$/m)
    t.equal(local.requests.length, 0)
  })
}

test("curl: a plain http URL goes through the proxy in absolute form", { skip }, async (t) => {
  const { folder, flags } = await startChatHosts(t)
  const origin = await startOrigin(t, always(ok("plain")))
  const connectTo = ["--connect-to", `plain.test:80:127.0.0.1:${origin.port}`]
  const command = ["curl", "-sS", "http://plain.test/page?q=1"]
  const outcome = await runThrough(t, [...flags, ...connectTo], command, { folder })
  exitsWith(t, 0, outcome)
  t.equal(outcome.stdout, "plain")
  t.match(origin.requests[0]?.head, /^GET \/page\?q=1 HTTP\/1\.1\r\nHost: plain\.test\r\n/)
})
