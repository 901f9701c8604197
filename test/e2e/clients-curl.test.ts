/**
 * curl through `llmproxy run` and the conductor: the client whose bytes a test can see whole, so what passes to the
 * cloud is compared byte for byte, both ways.
 */
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { readFile, writeFile } from "node:fs/promises"
import { createServer } from "node:https"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { test } from "tap"
import { CLIENT_KEY, WAYS, type Way } from "../helpers/clients/chat-clients.ts"
import { exitsWith, missing, runThrough } from "../helpers/command-process.ts"
import {
  answerEvents,
  CLOUD_MODEL,
  CLOUD_PIECES,
  LARGE_PROMPT,
  LOCAL_TEXT,
  SMALL_PROMPT,
  startChatHosts,
  toPort,
} from "../helpers/hosts/chat-hosts.ts"
import { always, ok, sharedCertificates, startOrigin } from "../helpers/test-proxy.ts"

const skip = missing("curl")

/** More than sockets hold, by far. */
const FILE_BYTES = 20_000_000

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
    t.match(cloud.requests[0]?.head, /^Host: api\.openai\.com$/im)
    t.equal(outcome.stdout, answerEvents(CLOUD_MODEL, CLOUD_PIECES, true).join(""))
    t.match(await readFile(join(folder, "head.txt"), "latin1"), /^x-llmproxy-route: cloud\r$/m)
    t.same(
      local.requests.filter(({ method }) => method === "POST"),
      [],
      "the local host was asked for its model alone",
    )
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

test("curl: 20 MB up and down arrive as they were, and curl's Expect is answered", { skip }, async (t) => {
  const { folder, flags } = await startChatHosts(t)
  const up = randomBytes(FILE_BYTES)
  const down = randomBytes(FILE_BYTES)
  await writeFile(join(folder, "up.bin"), up)
  const seen: string[] = []
  const server = createServer((await sharedCertificates()).chainFor("files.test"), (request, response) => {
    const hash = createHash("sha256")
    request.pipe(hash).on("finish", () => {
      seen.push(`${request.method} ${request.headers.expect} ${hash.digest("hex")}`)
      response.end(down)
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  // Over HTTP/2 curl does not ask before it sends.
  const command = ["curl", "-sS", "--http1.1", "-T", "up.bin", "-o", "down.bin", "https://files.test/up.bin"]
  const { port } = server.address() as AddressInfo
  exitsWith(t, 0, await runThrough(t, [...flags, ...toPort("files.test", port)], command, { folder }))
  t.same(seen, [`PUT 100-continue ${sha256(up)}`])
  t.equal(sha256(await readFile(join(folder, "down.bin"))), sha256(down))
})

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex")
}
