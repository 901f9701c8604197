/**
 * The commands of the documents, each run in this process as it stands on its page: those that end, to their end; those that
 * start a proxy, until they listen. What is put in its place: ports (a free one), the id of a flow (one that was recorded), and
 * HOST. The programs that `run` is given are scripts that look for a proxy.
 */
import { chmod, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { type Test, test } from "tap"
import { main } from "../lib/cli/main.ts"
import { ManualClock } from "../lib/testing/manual-clock.ts"
import { ScriptedOrigin } from "../lib/testing/origin.ts"
import { codeOf, commandsIn, PAGES } from "./helpers/documents.ts"
import { jsonReply } from "./helpers/hosts/chat-replies.ts"
import { NO_POSTGRES, newDatabase } from "./helpers/postgres.ts"
import { FakeWorld } from "./helpers/world.ts"

/** Its programs and its folder: nothing of this machine but what a shell needs. */
async function place(t: Test) {
  const home = t.testdir()
  const programs = join(home, "programs")
  await mkdir(programs)
  for (const name of ["python", "curl", "CMD"]) {
    await writeFile(join(programs, name), '#!/bin/sh\ntest -n "$HTTPS_PROXY"\n')
    await chmod(join(programs, name), 0o755)
  }
  for (const [name, words] of [
    ["my-addon.ts", "model_not_allowed"],
    ["count-tokens.ts", "count"],
    ["votes.ts", 'name: "votes"'],
  ] as const)
    await writeFile(join(home, name), codeOf("docs/addons.md", words === "count" ? "const totals" : words))
  const litellm = "model_list:\n  - { model_name: fast, litellm_params: { model: openai/gpt-4.1 } }\n"
  await writeFile(join(home, "config.yaml"), litellm)
  const others = join(home, "Local-LLM-API", "data")
  await mkdir(others, { recursive: true })
  await writeFile(join(others, "api_keys.json"), JSON.stringify({ 0: "a".repeat(20), 1: "b".repeat(20) }))
  const session = { name: "Hello...", history: ["Human: Hello", "AI: Hi."] }
  await writeFile(join(others, "sessions.json"), JSON.stringify({ Active: 7, 7: session }))
  const profile = { model: "vicuna.gguf", template: "{chat_history} {input}" }
  await writeFile(join(others, "config.json"), JSON.stringify({ SelectedModel: "chat", chat: profile }))
  const env = { PATH: `${programs}:/usr/bin:/bin`, NO_COLOR: "1" }
  return {
    home,
    /** By a clock that stands still, as a proxy's hooks have so much time and no more. */
    proxy: (more: Record<string, string> = {}) =>
      new FakeWorld({ home, cwd: home, env: { ...env, ...more }, clock: new ManualClock(Date.now()) }),
    command: (more: Record<string, string> = {}) => new FakeWorld({ home, cwd: home, env: { ...env, ...more } }),
  }
}

type Place = Awaited<ReturnType<typeof place>>

/** A proxy of that line: once it listens, `meanwhile` is done and it ends. Resolves to its exit status. */
async function started(world: FakeWorld, argv: readonly string[], meanwhile: (url: string) => Promise<void>) {
  const ending = main([...argv], world)
  const isUp = await Promise.race([world.err.until(/listening on \S+/).then(() => true), ending.then(() => false)])
  if (isUp) {
    await meanwhile(/listening on (\S+)/.exec(world.err.text)?.[1] ?? "")
    world.signal("SIGTERM")
  }
  return await ending
}

/** Records one conversation, and gives its id. */
async function recorded({ proxy }: Place): Promise<string> {
  const origin = await ScriptedOrigin.start(jsonReply("Hello", { prompt_tokens: 9, completion_tokens: 2 }))
  const shown = proxy()
  const argv = ["-p", "0", "-s", "history", "--base-upstream", `http://127.0.0.1:${origin.port}`]
  await started(shown, argv, async (url) => {
    const body = JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "Hi" }] })
    await (await fetch(`${url}/v1/chat/completions`, { method: "POST", body })).text()
    await shown.out.until("\n")
  })
  await origin.close()
  return /^\S+ ([0-9a-f]{8})/.exec(shown.out.text)?.[1] ?? shown.err.text
}

/** Free ports, and what a page leaves to its reader. */
function filled(
  argv: readonly string[],
  id: string,
  { confdir, home, server }: Record<"confdir" | "home" | "server", string>,
): string[] {
  const words = argv.map((word) =>
    word
      .replace(/^~|\$HOME/, home)
      .replace(/^postgres:.*$/, server)
      .replace(/^config\.yaml$/, join(home, "config.yaml"))
      .replace(/^(?:8080|5000)$/, "0")
      .replace(/@\d{4}$/, "@0")
      .replace(/^[0-9a-f]{8}$/, id)
      .replace(/^HOST$/, "example.com"),
  )
  const isStart = words[0]?.startsWith("-") === true && !words.includes("--help") && !words.includes("tally")
  if (isStart && !words.includes("-p")) words.push("-p", "0")
  return words.includes("--permit") ? [...words, "--confdir", confdir] : words
}

test("every command of every page runs as it stands there", async (t) => {
  const here = await place(t)
  const id = await recorded(here)
  t.match(id, /^[0-9a-f]{8}$/, "one conversation is kept")
  const server = NO_POSTGRES === false ? await newDatabase(t) : ""
  const places = { confdir: join(here.home, "limited"), home: here.home, server }
  if (NO_POSTGRES !== false) t.comment(`not run: what names a server of PostgreSQL's: ${NO_POSTGRES}`)
  const done = new Set<string>()
  for (const page of PAGES) {
    for (const { env, argv: written } of commandsIn(page)) {
      const argv = filled(written, id, places)
      const line = argv.join(" ")
      // What fetches a model needs a network; test/addons/models/get.test.ts has it.
      if (done.has(line) || argv.includes("") || line.includes("models get")) continue
      // It fetches from the internet; test/addons/models/get.test.ts has a server for that.
      if (argv[0] === "models" && argv[1] === "get") continue
      done.add(line)
      const ends = argv[0] === "run" || argv[0]?.startsWith("-") !== true || argv.includes("--help")
      const world = ends ? here.command(env) : here.proxy(env)
      const status = ends ? await main(argv, world) : await started(world, argv, async () => {})
      const told = `${page}: ${line}: ${world.out.text}${world.err.text}`
      // `doctor` says with 1 that something is to be mended, as it is on most machines.
      t.ok(status === 0 || (argv[0] === "doctor" && status === 1), told)
      // Nobody has voted.
      if (!argv.includes("tally")) t.not(world.out.text + world.err.text, "", told)
    }
  }
  t.ok(done.size >= 20, `${done.size} commands`)
})
