/** Colours only where a person sees them, or asks for them. */
import { test } from "tap"
import { outputLogger } from "../../../lib/cli/terminal/log-output.ts"
import { paintFor, wantsColour } from "../../../lib/cli/terminal/paint.ts"
import { KeptOutput } from "../../helpers/world.ts"

test("a terminal is coloured, a pipe is not", async (t) => {
  t.ok(wantsColour({}, true))
  t.notOk(wantsColour({}, false))
  t.notOk(wantsColour({ TERM: "dumb" }, true))
})

test("NO_COLOR takes colours away, FORCE_COLOR has the last word", async (t) => {
  t.notOk(wantsColour({ NO_COLOR: "1" }, true))
  t.ok(wantsColour({ NO_COLOR: "" }, true), "an empty NO_COLOR is none")
  t.ok(wantsColour({ NO_COLOR: "1", FORCE_COLOR: "1" }, false))
  t.ok(wantsColour({ FORCE_COLOR: "" }, false))
  t.notOk(wantsColour({ FORCE_COLOR: "0" }, true))
  t.notOk(wantsColour({ FORCE_COLOR: "false" }, true))
})

test("painting adds escape sequences, or nothing", async (t) => {
  const paint = await paintFor({}, true)
  t.equal(paint("red", "a"), "\u001b[31ma\u001b[39m")
  t.equal(paint("red", ""), "")
  t.equal((await paintFor({}, false))("red", "a"), "a")
})

test("the log says how bad a thing is", async (t) => {
  const err = new KeptOutput(undefined)
  const log = outputLogger(err, (colour, text) => `<${colour}>${text}`, "info")
  log.debug("d")
  log.info("i")
  log.warn("w")
  log.error("e sk-abcdefghijkl")
  t.equal(err.text, "i\n<yellow>warning: w\n<red>error: e sk-***\n")
})

test("on a terminal a long line of the log goes on under its beginning, and a secret in it is none", async (t) => {
  const err = new KeptOutput(40)
  const log = outputLogger(err, (_, text) => text, "info")
  log.warn("conductor: http://127.0.0.1:1234: local host failed")
  log.error("a key sk-abcdefghijkl in the middle of a text")
  log.info("what is merely told goes on under two columns")
  t.same(err.text.split("\n"), [
    "warning: conductor:",
    "         http://127.0.0.1:1234: local",
    "         host failed",
    "error: a key sk-*** in the middle of a",
    "       text",
    "what is merely told goes on under two",
    "  columns",
    "",
  ])
})
