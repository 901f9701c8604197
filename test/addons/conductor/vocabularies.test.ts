import { test } from "tap"
import { Vocabularies } from "../../../addons/conductor/vocabularies.ts"
import type { TokenVocabulary } from "../../../lib/api/addon.ts"
import { makeLogger } from "../../../lib/base/log.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"

const NO_TOKENS = {
  countRequest: () => Promise.reject(new Error("not in this test")),
  countText: async () => 0,
  boundRequest: () => 0,
  warm: async () => {},
}

/** Files by what becomes of them: "bad" and "inexact" cannot be opened, "slow" ones not before `open`. */
function made() {
  const events: string[] = []
  const clock = new ManualClock()
  let open: () => void = () => {}
  const waiting = new Promise<void>((resolve) => {
    open = resolve
  })
  const vocabulary = async (file: string): Promise<TokenVocabulary> => {
    if (file.includes("slow")) await waiting
    if (file.includes("bad")) throw new Error(`${file}: no such file`)
    if (file.includes("inexact")) throw Object.assign(new Error(`${file}: unknown`), { name: "InexactVocabularyError" })
    events.push(`open ${file}`)
    const count = async () => ({ tokens: 1, method: file, confidence: "exact" }) as const
    const close = async () => void events.push(`close ${file}`)
    return { name: file, method: file, countPrompt: count, countRequest: count, close }
  }
  const log = makeLogger((line, level) => events.push(`${level} ${line}`), "debug")
  const tokens = { ...NO_TOKENS, vocabulary }
  return { events, clock, open, vocabularies: new Vocabularies({ tokens, log, clock }) }
}

test("a file is for all models, or for those whose name fits; the first that fits counts", async (t) => {
  const { vocabularies } = made()
  t.notOk(vocabularies.isUsed)
  await vocabularies.use(["deepseek*=a.json", "*qwen*=b.gguf"])
  t.ok(vocabularies.isUsed)
  t.equal(vocabularies.of("DeepSeek-Coder-6.7b")?.name, "a.json")
  t.equal(vocabularies.of("org/qwen2.5")?.name, "b.gguf")
  t.equal(vocabularies.of("llama"), undefined)
  t.equal(vocabularies.of(undefined), undefined)
  await vocabularies.use(["a.json"])
  t.equal(vocabularies.of(undefined)?.name, "a.json")
  await vocabularies.use(["*=/x=y/a.json"])
  t.equal(vocabularies.of("any")?.name, "/x=y/a.json")
})

test("a file is opened once, and closed when nobody needs it", async (t) => {
  const { events, vocabularies } = made()
  await vocabularies.use(["a=f", "b=f", "g"])
  await vocabularies.use(["g"])
  await new Promise((resolve) => setImmediate(resolve))
  t.strictSame(events, ["open f", "open g", "close f"])
  await vocabularies.close()
  t.strictSame(events.slice(3), ["close g"])
  t.notOk(vocabularies.isUsed)
})

test("a file that cannot be used stops the start, and may be named again once it is right", async (t) => {
  const { events, vocabularies } = made()
  const message = "conductor.tokenizer bad.json: no such file; name a tokenizer.json or a .gguf file"
  await t.rejects(vocabularies.use(["f", "bad.json"]), { message })
  await t.rejects(vocabularies.use(["bad.json"]), { message })
  await vocabularies.close()
  t.strictSame(events, ["open f", "close f"])
  for (const entry of ["=f", "glob="])
    await t.rejects(vocabularies.use([entry]), { message: /write FILE or GLOB=FILE/ }, entry)
})

test("a file that cannot be counted with exactly is warned of, and does without", async (t) => {
  const { events, vocabularies } = made()
  await vocabularies.use(["inexact.gguf"])
  t.notOk(vocabularies.isUsed)
  t.strictSame(events, ["warn conductor.tokenizer inexact.gguf: unknown; the learnt ratio is used instead"])
})

test("a start waits three seconds; what comes later is used then, or complained of", async (t) => {
  for (const [file, after] of [
    ["slow.json", "open slow.json"],
    ["slow-bad.json", "error conductor.tokenizer slow-bad.json: no such file; name a tokenizer.json or a .gguf file"],
  ] as const) {
    const { events, clock, open, vocabularies } = made()
    const using = vocabularies.use([file])
    clock.advance(3_000)
    await using
    t.notOk(vocabularies.isUsed)
    open()
    await new Promise((resolve) => setImmediate(resolve))
    t.equal(vocabularies.isUsed, file === "slow.json")
    t.strictSame(events, [after])
  }
})

test("of two changes the later one counts", async (t) => {
  const { open, vocabularies } = made()
  const first = vocabularies.use(["slow.json"])
  await vocabularies.use(["f"])
  open()
  await first
  t.equal(vocabularies.of("any")?.name, "f")
})
