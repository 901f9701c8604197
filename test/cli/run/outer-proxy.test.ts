/** `run` in a shell whose programs go through a proxy: it becomes our own way out, and NO_PROXY stays what it was. */
import { connect, createServer, type Socket } from "node:net"
import { type Test, test } from "tap"
import { main } from "../../../lib/cli/main.ts"
import { outerProxy } from "../../../lib/cli/run/outer-proxy.ts"
import { ScriptedOrigin } from "../../../lib/testing/origin.ts"
import { jsonReply } from "../../helpers/hosts/chat-replies.ts"
import { answer, OURS, REFUSED } from "../../helpers/patient.ts"
import { FakeWorld } from "../../helpers/world.ts"

const none = () => Promise.resolve(REFUSED)

test("the variables are read in the order of what LLM hosts are asked through, with their NO_PROXY", async (t) => {
  const found = async (env: Record<string, string>) => (await outerProxy(env, none))?.text
  t.equal(
    await found({ HTTPS_PROXY: "http://corp.test:3128", HTTP_PROXY: "http://other:1" }),
    "corp.test:3128 (HTTPS_PROXY)",
  )
  t.equal(await found({ https_proxy: "corp.test:3128" }), "corp.test:3128 (https_proxy)", "without a scheme")
  t.equal(await found({ ALL_PROXY: "socks5://u:p@corp.test" }), "corp.test:1080 (ALL_PROXY)", "never its password")
  t.equal(await found({ HTTP_PROXY: "http://corp.test:3128" }), "corp.test:3128 (HTTP_PROXY)")
  t.equal(await found({ HTTPS_PROXY: "ftp://corp.test" }), undefined, "no proxy that could be used")
  t.equal(await found({}), undefined)
  const { bypass } = (await outerProxy({ HTTPS_PROXY: "http://c:1", NO_PROXY: "corp.example, 10.0.0.0/8" }, none)) ?? {}
  t.same(bypass, ["corp.example", "10.0.0.0/8", "localhost", "127.0.0.1", "::1"])
})

test("an llmproxy on this machine is no way out, nor is one that is gone; another program is", async (t) => {
  const env = { HTTPS_PROXY: "http://user:secret@127.0.0.1:8080" }
  const asked: string[] = []
  const found = async (reply: typeof REFUSED) =>
    (
      await outerProxy(env, (url) => {
        asked.push(url)
        return Promise.resolve(reply)
      })
    )?.via
  t.equal(await found(OURS), undefined)
  t.equal(await found(REFUSED), undefined)
  t.equal(await found(answer("no", 400)), env.HTTPS_PROXY)
  t.equal(asked[0], "http://127.0.0.1:8080/.llmproxy/")
})

/** A proxy that leads every tunnel to `port`, and keeps what it was asked. */
async function corporateProxy(t: Test, port: number): Promise<{ readonly url: string; readonly asked: string[] }> {
  const asked: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.once("data", (bytes: Buffer) => {
      const head = bytes.toString("latin1")
      if (head.startsWith("GET /.llmproxy/")) return socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
      asked.push(head.split("\r\n", 1)[0] ?? "")
      const to = connect({ host: "127.0.0.1", port }, () => {
        to.write(head.replace(/http:\/\/[^/]+/, ""))
        socket.pipe(to).pipe(socket)
      })
      to.on("error", () => socket.destroy())
    })
  }).listen(0, "127.0.0.1")
  await new Promise((resolve) => server.once("listening", resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return { url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`, asked }
}

test("run goes on through the shell's proxy, past it where NO_PROXY says so, and says it once", async (t) => {
  const origin = await ScriptedOrigin.start(jsonReply("Hello"))
  t.teardown(() => origin.close())
  const corporate = await corporateProxy(t, origin.port)
  const home = t.testdir({
    "ask.mjs": `
      import { request } from "node:http"
      const proxy = new URL(process.env.HTTP_PROXY)
      for (const url of ["http://llm.test/v1/x", "http://inner.test:${origin.port}/v1/y"]) await new Promise((done) =>
        request({ host: proxy.hostname, port: proxy.port, path: url, headers: { host: new URL(url).host } }, (answer) =>
          answer.resume().on("end", done)).end())`,
  })
  const { PATH } = process.env
  const env = { PATH, HTTPS_PROXY: corporate.url, NO_PROXY: "inner.test" }
  const world = new FakeWorld({ home, cwd: home, env })
  const to = ["--connect-to", `inner.test::127.0.0.1:${origin.port}`]
  t.equal(await main(["run", ...to, "--", process.execPath, "ask.mjs"], world), 0)
  t.same(corporate.asked, ["GET http://llm.test/v1/x HTTP/1.1"])
  t.same(
    origin.requests.map(({ target }) => target),
    ["/v1/x", "/v1/y"],
  )
  t.match(world.err.text, `going on through ${corporate.url.slice("http://".length)} (HTTPS_PROXY)`)
  t.equal(world.err.text.match(/going on through/g)?.length, 1)
  const before = corporate.asked.length
  const past = new FakeWorld({ home, cwd: home, env })
  const all = ["--connect-to", `::127.0.0.1:${origin.port}`]
  t.equal(await main(["run", "-m", "regular", ...all, "--", process.execPath, "ask.mjs"], past), 0)
  t.equal(corporate.asked.length, before, "-m says otherwise")
  t.notMatch(past.err.text, "going on through")
})
