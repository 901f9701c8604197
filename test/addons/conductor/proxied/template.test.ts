/** A prompt format that cannot be used is told when it is set, with what would be right; and not with the first chat. */
import { writeFile } from "node:fs/promises"
import { test } from "tap"
import { UsageError } from "../../../../lib/base/errors.ts"
import { TEMPLATES } from "../../../../lib/llm/template/index.ts"
import { NO_SOURCES } from "../../../../lib/options/sources.ts"
import { sentTo, startRig } from "../../../helpers/conductor-rig.ts"
import { makeFifo } from "../../../helpers/fifo.ts"
import { hostNamed, scripted } from "../../../helpers/hosts/local-hosts.ts"
import { until } from "../../../helpers/hosts/proxy-host.ts"
import type { WireResponse } from "../../../helpers/wire/wire.ts"

const routeOf = ({ headers }: WireResponse) => headers.get("x-llmproxy-route")
const errorOf = ({ text }: WireResponse) => JSON.parse(text).error
const NAMES = TEMPLATES.map(({ name }) => name).join(", ")
const CURE = `name a prompt format or the path of a .jinja file: ${NAMES} or host`
const MINE = "<<{% for m in messages %}{{ m.content }}{% endfor %}>>"

test("a template that can be right on no host stops the start", async (t) => {
  const folder = t.testdir({
    "bad.jinja": "{% if %}",
    "calls.jinja": "{{ messages[0].content | no_such_filter }}",
    "large.jinja": " ".repeat(1_048_577),
    "folder.jinja": {},
  })
  const pipe = makeFifo(folder)
  for (const [template, what] of [
    ["chatlm", `no prompt format has this name, and there is no such file; ${CURE}`],
    [`${folder}/absent.jinja`, `no prompt format has this name, and there is no such file; ${CURE}`],
    [`${folder}/bad.jinja/absent`, `no prompt format has this name, and there is no such file; ${CURE}`],
    [`${folder}/folder.jinja`, `this is a folder; ${CURE}`],
    [`${folder}/large.jinja`, `1048577 bytes are too large for a template; ${CURE}`],
    [pipe, `this is no file; ${CURE}`],
    [`${folder}/bad.jinja`, `this is no Jinja template that can be used: `],
    [
      `${folder}/calls.jinja`,
      `this is no Jinja template that can be used: Unknown StringValue filter: no_such_filter; mend the file, or ${CURE}`,
    ],
  ] as const) {
    const error: unknown = await startRig(t, { set: { template } }).catch((thrown: unknown) => thrown)
    t.ok(error instanceof UsageError, template)
    t.ok(String(error).includes(`conductor.template ${template}: ${what}`), String(error))
  }
})

test("a template that wants a system prompt first is one", async (t) => {
  const folder = t.testdir({
    "strict.jinja": `{% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}${MINE}`,
  })
  const local = scripted(hostNamed("vLLM"))
  const rig = await startRig(t, { local, set: { template: `${folder}/strict.jinja` } })
  t.match(errorOf(await rig.chat()).message, /no system/)
})

test("a template that is set to what cannot be used is told in the log, and a file that is mended serves the next chat", async (t) => {
  const folder = t.testdir({ "mine.jinja": "{% if %}" })
  const rig = await startRig(t, { local: scripted(hostNamed("vLLM")), set: { template: "chatml" } })
  const template = `${folder}/mine.jinja`
  const set = [`conductor.localUrl=http://127.0.0.1:${rig.local?.port}/v1`, `conductor.template=${template}`]
  rig.app.store.update({ ...NO_SOURCES, set })
  const isTold = (line: string) =>
    line.startsWith("error ") && line.includes(`conductor.template ${template}: this is no`)
  await until(() => rig.lines.some(isTold))
  t.match(errorOf(await rig.chat()).message, /this is no Jinja template that can be used/)
  await writeFile(template, MINE)
  t.equal(routeOf(await rig.chat()), "local")
  t.equal(sentTo(rig.local, "/v1/completions")?.prompt, "<<Say hello.>>")
})
