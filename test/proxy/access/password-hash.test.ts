import { argon2d, argon2id, bcrypt } from "hash-wasm"
import { test } from "tap"
import { isKnownHash, PasswordThread, servePasswords } from "../../../lib/proxy/access/password-hash.ts"

const salt = Buffer.alloc(16, 7)

function bcryptOf(password: string): Promise<string> {
  return bcrypt({ password, salt, costFactor: 4, outputType: "encoded" })
}

function argonOf(password: string): Promise<string> {
  const cost = { iterations: 1, parallelism: 1, memorySize: 64, hashLength: 32 }
  return argon2id({ password, salt, ...cost, outputType: "encoded" })
}

/** The thread's side on this thread. */
function served(hash: string, password: string): Promise<unknown> {
  return new Promise((resolve) => {
    servePasswords({
      on: (_, listener) => listener({ id: 7, job: { hash, password } }),
      postMessage: resolve,
    })
  })
}

test("bcrypt in its three spellings and argon2 are known, and other hashes are not", async (t) => {
  const hash = await bcryptOf("secret")
  for (const spelling of ["$2a$", "$2b$", "$2y$"]) t.ok(isKnownHash(hash.replace("$2a$", spelling)), spelling)
  t.ok(isKnownHash(await argonOf("secret")))
  const cost = { iterations: 1, parallelism: 1, memorySize: 64, hashLength: 32 }
  t.ok(isKnownHash(await argon2d({ password: "x", salt, ...cost, outputType: "encoded" })))
  for (const other of ["", "secret", "$apr1$a$b", "$2a$04$short", "$argon2id$v=19$m=64$x$y", `${hash}x`])
    t.notOk(isKnownHash(other), other)
})

test("the right password matches its hash, and no other does", async (t) => {
  const thread = new PasswordThread()
  t.teardown(() => thread.close())
  for (const hash of [(await bcryptOf("sécret")).replace("$2a$", "$2y$"), await argonOf("sécret")]) {
    t.equal(await thread.verify(hash, "sécret"), true)
    t.equal(await thread.verify(hash, "Sécret"), false)
    t.equal(await thread.verify(hash, ""), false)
  }
})

test("every check is answered, also one that fails", async (t) => {
  const hash = await bcryptOf("x".repeat(72))
  t.same(await served(hash, "x".repeat(80)), { id: 7, value: true }, "bcrypt reads 72 bytes")
  t.same(await served(await argonOf("secret"), "secret"), { id: 7, value: true })
  t.match(await served("$argon2id$broken", "secret"), { id: 7, error: /./ })
})

test("a check that fails in the thread rejects, and the next one is made", async (t) => {
  const thread = new PasswordThread()
  t.teardown(() => thread.close())
  await t.rejects(thread.verify("$argon2id$broken", "secret"), { code: "auth-unavailable", status: 503 })
  t.equal(await thread.verify(await bcryptOf("secret"), "secret"), true)
})

test("a thread that ends rejects what waits, and a later check starts another", async (t) => {
  const thread = new PasswordThread()
  t.teardown(() => thread.close())
  const hash = await bcryptOf("secret")
  const waiting = thread.verify(hash, "secret")
  const rejected = t.rejects(waiting, { code: "auth-unavailable", message: /the proxy is ending/ })
  await thread.close()
  await rejected
  t.equal(await thread.verify(hash, "secret"), true)
  await thread.close()
  await new PasswordThread().close()
  const folder = t.testdir({ "crash.mjs": "throw new Error('broken')", "leave.mjs": "process.exit(3)" })
  for (const [file, why] of [
    ["crash.mjs", /broken/],
    ["leave.mjs", /exit status 3/],
  ] as const) {
    const crashing = new PasswordThread(new URL(`file://${folder}/${file}`))
    await t.rejects(crashing.verify(hash, "secret"), { code: "auth-unavailable", message: why })
  }
})

test("checks that wait are bounded", async (t) => {
  const thread = new PasswordThread()
  const hash = await bcryptOf("secret")
  const waiting = Array.from({ length: 64 }, () => thread.verify(hash, "secret").catch(() => {}))
  await t.rejects(thread.verify(hash, "secret"), { status: 503, message: /64 checks are waiting already/ })
  await thread.close()
  await Promise.all(waiting)
})
