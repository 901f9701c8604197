/** The program, twice: what it learnt of a local model's tokens in one run decides in the next. And its last words. */
import { realpath } from "node:fs/promises"
import { resolve } from "node:path"
import { type Test, test } from "tap"
import { main } from "../../../../lib/cli/main.ts"
import { ManualClock } from "../../../../lib/testing/manual-clock.ts"
import { ScriptedOrigin } from "../../../../lib/testing/origin.ts"
import { hello, hostNamed, scripted } from "../../../helpers/hosts/local-hosts.ts"
import { FakeWorld } from "../../../helpers/world.ts"

/** Of each prompt the host says that it was so many of its tokens. */
const TOLD = 1_200
const QUESTION = { model: "gpt-4o", messages: [{ role: "user", content: "word ".repeat(600) }] }

interface Running {
  readonly world: FakeWorld
  readonly url: string
  /** Asks, and resolves to the reason for the route. */
  ask(): Promise<string>
  /** Ends it as a person does, with Ctrl-C, and resolves to the exit status. */
  end(): Promise<number>
}

/** Its clock stands still: however slow the machine is, what was learnt is waited for. */
async function start(folder: string, flags: readonly string[]): Promise<Running> {
  const world = new FakeWorld({ home: folder, cwd: folder, clock: new ManualClock() })
  const script = resolve("addons/conductor.ts")
  const ending = main(["-p", "0", "--confdir", `${folder}/conf`, "-s", script, ...flags], world)
  await Promise.race([
    world.err.until(/listening on \S+/),
    ending.then(() => Promise.reject(new Error(world.err.text))),
  ])
  const url = /listening on (\S+)/.exec(world.err.text)?.[1] ?? ""
  return {
    world,
    url,
    async ask() {
      const answer = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: JSON.stringify(QUESTION) })
      await answer.text()
      return answer.headers.get("x-llmproxy-reason") ?? ""
    },
    end() {
      world.signal("SIGINT")
      return ending
    },
  }
}

async function localHost(t: Test): Promise<string[]> {
  const reply = scripted(hostNamed("LM Studio"), {
    reply: (request, socket) => void socket.write(hello(request, TOLD)),
  })
  const origin = await ScriptedOrigin.start(reply)
  t.teardown(() => origin.close())
  return ["--set", `conductor.localUrl=http://127.0.0.1:${origin.port}`, "--set", "conductor.maxTokenCount=4000"]
}

test("what was learnt of a model's tokens is there after a restart, and its confidence is said", async (t) => {
  const folder = await realpath(t.testdir())
  const flags = await localHost(t)
  const first = await start(folder, flags)
  t.match(await first.ask(), /^needs \d+ of 4000 tokens$/, "nothing is known yet")
  for (let answers = 1; answers < 6; answers++)
    t.match(await first.ask(), new RegExp(`\\(tokens x [\\d.]+, learnt from ${answers} answers\\)$`))
  t.equal(await first.end(), 0)
  const second = await start(folder, flags)
  const [, needed = "", ratio = ""] = /needs (\d+) .*tokens x ([\d.]+), learnt from 6/.exec(await second.ask()) ?? []
  t.match(ratio, /^1\.9/, "1,200 of its tokens are 608 of OpenAI's")
  t.ok(
    Math.abs(Number(needed) - (TOLD + 1_024)) < 10,
    `${needed} tokens: the prompt as the host counts, and the reserve`,
  )
  t.equal(await second.end(), 0)
})

test("the program's last words are what it did: by route, in tokens, and what stayed local", async (t) => {
  const folder = await realpath(t.testdir())
  const running = await start(folder, await localHost(t))
  await running.ask()
  await running.ask()
  const refused = await fetch(`${running.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "x-llmproxy-route": "nowhere" },
    body: JSON.stringify(QUESTION),
  })
  t.equal(refused.status, 400)
  await refused.text()
  t.equal(await running.end(), 0)
  const { out, err } = running.world
  const lines = out.text.trimEnd().split("\n")
  t.equal(lines.length, 3, "one line a flow, and nothing else")
  for (const line of lines.slice(0, 2))
    t.match(line, / gpt-4o → \S+ {2}local: needs \d+ of 4000 tokens.* in 1200 {2}out 2 {2}200 /)
  t.match(lines[2], /no such route: nowhere/)
  const words = err.text.slice(err.text.indexOf("\n3 requests") + 1)
  t.equal(words, "3 requests, 1 failed\nroutes: local 3\ntokens: 2,400 in, 4 out\nkept local: 2,404 tokens (100 %)\n")
})

test("a vocabulary that cannot be read is one line and exit status 2", async (t) => {
  const home = await realpath(t.testdir({ "tokenizer.json": "{}" }))
  // Its clock stands still: however slow the machine is, the file is waited for.
  const world = new FakeWorld({ home, cwd: home, clock: new ManualClock() })
  const file = `${home}/tokenizer.json`
  t.equal(
    await main(["-p", "0", "-s", resolve("addons/conductor.ts"), "--set", `conductor.tokenizer=${file}`], world),
    2,
  )
  t.equal(world.out.text, "")
  const line =
    /^llmproxy: [^\n]*conductor\.tokenizer \S+: it has no model: this is no tokenizer\.json; name a tokenizer\.json or a \.gguf file[^\n]*\n$/
  t.match(world.err.text, line)
})
