/** Node, port, NO_PROXY and CA: what is good, what is broken, and what to do. */
import { test } from "tap"
import { StartError } from "../../../lib/base/errors.ts"
import { checkCa, checkNode, checkNoProxy, checkPort } from "../../../lib/cli/doctor/machine.ts"
import { answer, fakeCa, makePatient, OURS } from "../../helpers/patient.ts"

test("a Node that is too old is broken, one without fixes is noted, a current one is good", async (t) => {
  const marks = async (nodeVersion: string) =>
    (await checkNode(makePatient({ nodeVersion }).patient)).map((f) => f.mark)
  t.same(await marks("24.22.1"), ["good"])
  t.same(await marks("20.20.2"), ["note"])
  t.same(await marks("22.10.0"), ["note"])
  t.same(await marks("20.18.9"), ["bad"])
  t.same(await marks("18.20.0"), ["bad"])
})

test("a port is free, ours, another's, or not to be had", async (t) => {
  const check = async (state: string, answers = {}) =>
    (await checkPort(makePatient({ listens: async () => state }, answers).patient))[0]
  t.match(await check("free"), { mark: "good", text: "port 8080 of 127.0.0.1 is free" })
  const ours = { "http://127.0.0.1:8080/.llmproxy/": OURS }
  t.match(await check("EADDRINUSE", ours), { mark: "good", text: /an llmproxy listens there already/ })
  const said = { error: "Unexpected endpoint or method. (GET /.llmproxy/). Returning 200 anyway" }
  const studio = { "http://127.0.0.1:8080/.llmproxy/": answer(said) }
  t.match(await check("EADDRINUSE", studio), { mark: "bad", text: /taken by another program/ }, "LM Studio is not we")
  t.match(await check("EADDRINUSE"), { mark: "bad", text: /taken by another program/, fix: /-p PORT/ })
  t.match(await check("EACCES"), { mark: "bad", text: /cannot be used \(EACCES\)/, fix: /-p PORT/ })
})

test("each listener that --mode asks for has its port looked at", async (t) => {
  const tried: string[] = []
  const { patient } = makePatient({
    listens: async (host, port) => {
      tried.push(`${host}:${port}`)
      return port === 1080 ? "EADDRINUSE" : "free"
    },
  })
  const values = { ...patient.values, mode: ["regular", "socks5@1080", "reverse:https://h.test@0"] }
  t.match(await checkPort({ ...patient, values }), [
    { mark: "good", text: "regular: port 8080 of 127.0.0.1 is free" },
    { mark: "bad", text: "socks5: port 1080 of 127.0.0.1 is taken by another program" },
    { mark: "good", text: "reverse:https://h.test: a free port is taken" },
  ])
  t.same(tried, ["127.0.0.1:8080", "127.0.0.1:1080"])
})

test("for port 0 a free one is taken, and nothing is tried", async (t) => {
  const { patient } = makePatient()
  const values = { ...patient.values, port: 0 }
  t.match(await checkPort({ ...patient, values }), [{ mark: "good", text: "port: a free one is taken" }])
})

test("entries of NO_PROXY that hide an LLM host are broken", async (t) => {
  const check = async (env: Record<string, string>) => (await checkNoProxy(makePatient({ env }).patient))[0]
  t.match(await check({}), { mark: "good" })
  t.match(await check({ NO_PROXY: "localhost,10.0.0.0/8" }), { mark: "good" })
  t.match(await check({ NO_PROXY: "a,.openai.com,*" }), {
    mark: "bad",
    text: "NO_PROXY hides LLM hosts from the proxy: .openai.com, *",
    fix: /llmproxy run/,
  })
  t.match(await check({ no_proxy: "anthropic.com" }), { mark: "bad", text: /^no_proxy hides/ })
  const { patient } = makePatient({ env: { NO_PROXY: "llm.corp" } })
  t.match(await checkNoProxy(patient), [{ mark: "good" }])
  const other = { ...patient.values, baseUpstream: "https://llm.corp/v1" }
  t.match(await checkNoProxy({ ...patient, values: other }), [{ mark: "bad" }], "the base upstream is one too")
  const broken = { ...patient.values, baseUpstream: "no url" }
  t.match(await checkNoProxy({ ...patient, values: broken }), [{ mark: "good" }])
})

test("a CA that cannot be used is broken; none yet, one near its end and one that is not trusted are noted", async (t) => {
  const check = async (more: Parameters<typeof makePatient>[0]) => await checkCa(makePatient(more).patient)
  t.match(await check({}), [{ mark: "note", text: "no CA yet: the first start makes /c/llmproxy-ca.pem" }])
  const loadCa = async () => fakeCa(["expires soon"])
  t.match(await check({ loadCa, isTrusted: async () => "yes" }), [
    { mark: "good", text: "CA /c/llmproxy-ca.pem, valid until Nov 17 11:08:10 2036 GMT" },
    { mark: "note", text: "expires soon" },
    { mark: "good", text: "the system trusts the CA" },
  ])
  t.match((await check({ loadCa, isTrusted: async () => "no" }))[2], { mark: "note", fix: /llmproxy ca trust/ })
  t.match((await check({ loadCa }))[2], { mark: "note", text: /cannot be seen on this platform/ })
  const failing = (error: Error) => ({ loadCa: () => Promise.reject(error) })
  t.match(await check(failing(new StartError("the key does not match"))), [
    { mark: "bad", text: "the key does not match", fix: /move \/c\/llmproxy-ca\.pem away/ },
  ])
  await t.rejects(check(failing(new TypeError("a bug"))), { message: "a bug" })
})
