/** `llmproxy env` prints the variables of a proxy that runs elsewhere. */
import { existsSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { join } from "node:path"
import { test } from "tap"
import { main } from "../../lib/cli/main.ts"
import { FakeWorld, type FakeWorldOptions } from "../helpers/world.ts"

async function run(argv: string[], options: FakeWorldOptions) {
  const world = new FakeWorld(options)
  const status = await main(["env", ...argv], world)
  return { status, out: world.out.text, err: world.err.text }
}

test("the lines name the proxy's address and files that are there", async (t) => {
  const home = t.testdir()
  const { status, out } = await run([], { home, cwd: home })
  t.equal(status, 0)
  t.match(out, "export HTTPS_PROXY='http://127.0.0.1:8080'\n")
  const confdir = join(home, ".llmproxy")
  for (const name of ["llmproxy-ca-cert.pem", "llmproxy-ca-bundle.pem"]) {
    t.match(out, `'${join(confdir, name)}'`)
    t.ok(existsSync(join(confdir, name)))
  }
})

test("port, host and confdir are those of the proxy, wherever they are said", async (t) => {
  const home = t.testdir({ conf: { "config.yaml": "host: 127.0.0.2\n" } })
  const { out } = await run(["-p", "9000", "--confdir", "conf"], { home, cwd: home })
  t.match(out, "export HTTP_PROXY='http://127.0.0.2:9000'\n")
})

test("a proxy that asks for a password is named with it", async (t) => {
  const home = t.testdir()
  const { out } = await run([], { home, cwd: home, env: { LLMPROXY_PROXY_AUTH: "ann:p@ss:word" } })
  t.match(out, "export HTTPS_PROXY='http://ann:p%40ss%3Aword@127.0.0.1:8080'\n")
})

test("a NO_PROXY that hides the base upstream is cleared", async (t) => {
  const home = t.testdir()
  const env = { NO_PROXY: "llm.corp,other", LLMPROXY_BASE_UPSTREAM: "https://llm.corp/v1" }
  t.match((await run([], { home, cwd: home, env })).out, "export NO_PROXY='other,localhost,127.0.0.1,::1'\n")
  const broken = { ...env, LLMPROXY_BASE_UPSTREAM: "no url" }
  t.match((await run([], { home, cwd: home, env: broken })).out, "llm.corp,other", "what is no URL hides nothing")
})

test("the shell is named, or $SHELL's", async (t) => {
  const home = t.testdir()
  t.match((await run(["--shell", "powershell"], { home, cwd: home })).out, /^\$env:HTTP_PROXY = /)
  t.match((await run(["--shell", "zsh"], { home, cwd: home })).out, /^export /)
  t.match((await run([], { home, cwd: home, env: { SHELL: "/bin/fish" } })).out, /^set -gx /)
  t.same(await run(["--shell", "powershel"], { home, cwd: home }), {
    status: 2,
    out: "",
    err: 'llmproxy: --shell powershel: must be one of sh, fish, powershell; did you mean "powershell"?\n',
  })
})

test("a port of 0 is none that a client could be pointed at", async (t) => {
  const home = t.testdir()
  const { status, err } = await run(["-p", "0"], { home, cwd: home })
  t.equal(status, 2)
  t.match(err, "name the proxy's with -p PORT")
})

test("where no proxy listens the lines are printed, and that is said; where one does, nothing is", async (t) => {
  const home = t.testdir()
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  const there = await run(["-p", String(port)], { home, cwd: home })
  t.match(there.out, `export HTTPS_PROXY='http://127.0.0.1:${port}'`)
  t.equal(there.err, "")
  await new Promise((resolve) => server.close(resolve))
  const gone = await run(["-p", String(port)], { home, cwd: home })
  t.same([gone.status, gone.out], [0, there.out])
  t.match(gone.err, `llmproxy env: nothing listens on http://127.0.0.1:${port}: `)
  t.match(gone.err, `(llmproxy -p ${port})`)
  t.match(gone.err, 'eval "$(llmproxy env --unset)"')
})

test("--unset takes back every variable, in each shell, and makes no CA", async (t) => {
  const home = t.testdir()
  const names = [...(await run([], { home, cwd: home })).out.matchAll(/^export (\w+)=/gm)].map(([, name]) => name)
  t.ok(names.includes("HTTPS_PROXY") && names.includes("NODE_EXTRA_CA_CERTS"))
  const other = t.testdir()
  const unset = await run(["--unset"], { home: other, cwd: other })
  t.same(unset, { status: 0, out: names.map((name) => `unset ${name}\n`).join(""), err: "" })
  t.notOk(existsSync(join(other, ".llmproxy")))
  t.match((await run(["--unset", "--shell", "fish"], { home, cwd: home })).out, "set -e HTTPS_PROXY\n")
  const shown = (await run(["--unset", "--shell", "powershell"], { home, cwd: home })).out
  t.match(shown, "Remove-Item -ErrorAction Ignore Env:HTTPS_PROXY\n")
})
