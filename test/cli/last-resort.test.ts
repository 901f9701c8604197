/** What nobody catches is an error in the log, and not the end of the proxy. */
import { EventEmitter } from "node:events"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { catchTheRest } from "../../lib/cli/last-resort.ts"
import { ScriptedOrigin } from "../../lib/testing/origin.ts"
import { startCommand } from "../helpers/command-process.ts"
import { jsonReply } from "../helpers/hosts/chat-replies.ts"

test("an addon's forgotten promise and its throwing timer are logged, and the traffic goes on", async (t) => {
  const origin = await ScriptedOrigin.start(jsonReply("Hello"))
  t.teardown(() => origin.close())
  const folder = t.testdir()
  await writeFile(
    join(folder, "loose.js"),
    `export default { name: "loose", request(flow) {
      Promise.reject(new TypeError("forgotten"))
      setTimeout(() => { throw new RangeError("in a timer") })
      setTimeout(() => { throw "no error at all" })
      setTimeout(() => { throw Object.create(null) })
      setTimeout(() => { throw { toString() { throw 1 } } })
      setTimeout(() => { throw Object.defineProperty(new Error("m"), "stack", { get() { throw 1 } }) })
      setTimeout(() => { throw Object.assign(new Error("m"), { stack: {} }) })
      setTimeout(() => { throw new Proxy(new Error("m"), { getPrototypeOf() { throw 1 } }) })
      Promise.reject(Object.create(null))
    } }`,
  )
  const args = ["-p", "0", "-s", "loose.js", "--base-upstream", `http://127.0.0.1:${origin.port}`]
  const command = startCommand(t, args, { folder })
  const [, url = ""] = await command.printed(/listening on (\S+)/)
  for (let round = 0; round < 2; round++) t.equal((await fetch(`${url}/v1/models`)).status, 200)
  await command.printed(/error: nobody awaits this promise, and it failed: TypeError: forgotten .*loose\.js/)
  await command.printed(/error: nobody catches this exception: RangeError: in a timer/)
  await command.printed(/error: nobody catches this exception: no error at all/)
  await command.printed(/error: nobody catches this exception: something that cannot be written/)
  await command.printed(/error: nobody awaits this promise, and it failed: something that cannot be written/)
  t.equal((await fetch(`${url}/v1/models`)).status, 200)
  command.signal("SIGTERM")
  t.equal((await command.outcome).status, 0)
})

test("whatever was thrown is told: by its stack, else by its message, and once even that cannot be read", async (t) => {
  const program = new EventEmitter()
  const lines: string[] = []
  const letGo = catchTheRest({ error: (line) => void lines.push(line) }, program)
  const stackFails = Object.defineProperty(new Error("its stack throws"), "stack", {
    get() {
      throw new Error("no")
    },
  })
  const told: [thrown: unknown, line: RegExp][] = [
    [new RangeError("m"), /: RangeError: m\n +at .*last-resort\.test\.ts/],
    [Object.assign(new Error("its stack is none"), { stack: {} }), /: its stack is none$/],
    [stackFails, /: its stack throws$/],
    ["no error at all", /: no error at all$/],
    [Object.create(null), /: something that cannot be written$/],
  ]
  for (const [thrown, line] of told) {
    program.emit("uncaughtException", thrown)
    t.match(lines.pop(), new RegExp(`^nobody catches this exception${line.source}`))
    program.emit("unhandledRejection", thrown)
    t.match(lines.pop(), new RegExp(`^nobody awaits this promise, and it failed${line.source}`))
  }
  letGo()
  t.notOk(program.emit("uncaughtException", new Error("m")), "nobody listens any more")
  t.notOk(program.emit("unhandledRejection", new Error("m")))
  t.strictSame(lines, [])
})
