/** Whether a shell's programs come to llmproxy: the variables, and the version of Node. */
import { test } from "tap"
import { checkClients, leadsHere } from "../../../lib/cli/doctor/clients.ts"
import { makePatient } from "../../helpers/patient.ts"

const HERE = "http://127.0.0.1:8080"
const LED = { HTTPS_PROXY: HERE, https_proxy: HERE, http_proxy: HERE, NODE_USE_ENV_PROXY: "1" }

async function check(env: Record<string, string>, nodeVersion = "24.22.1") {
  return await checkClients(makePatient({ env, nodeVersion }).patient)
}

test("a shell without HTTPS_PROXY, or with another's, is told how to have ours", async (t) => {
  t.match(await check({}), [{ mark: "note", text: /HTTPS_PROXY is not set: .* go past/, fix: /llmproxy env/ }])
  t.match(await check({ HTTPS_PROXY: "http://me:secret@corp.test:3128" }), [
    {
      mark: "note",
      text: "HTTPS_PROXY names http://corp.test:3128, not llmproxy at http://127.0.0.1:8080",
      fix: /llmproxy run.* goes on through it.*--mode upstream:http:\/\/corp\.test:3128$/,
    },
  ])
  t.match(await check({ https_proxy: "http://[" }), [{ mark: "note", text: /names what is no URL/ }])
  t.same(await check(LED), [{ mark: "good", text: "HTTPS_PROXY leads to llmproxy" }])
})

test("lower case is what some programs read alone", async (t) => {
  const text = /^http_proxy and https_proxy not set: .*wget/
  t.match(await check({ HTTPS_PROXY: HERE, NODE_USE_ENV_PROXY: "1" }), [{ mark: "bad", text, fix: /llmproxy env/ }])
  const { http_proxy: _, ...without } = LED
  t.match(await check(without), [{ mark: "bad", text: /^http_proxy not set/ }])
})

test("a Node whose fetch takes no proxy is named, one that has to be told is broken where it is not", async (t) => {
  const old = await check(LED, "20.20.2")
  t.match(old[1], { mark: "note", text: /Node 20\.20\.2 go past/, fix: /base URL http:\/\/127\.0\.0\.1:8080\/v1/ })
  const { NODE_USE_ENV_PROXY: _, ...untold } = LED
  t.match((await check(untold))[1], { mark: "bad", text: /only with NODE_USE_ENV_PROXY=1/ })
  t.equal((await check({})).length, 1, "where nothing leads here, it does not matter")
})

test("a base URL on this machine that is not ours is reached past us", async (t) => {
  const told = async (url: string) => (await check({ ...LED, OPENAI_BASE_URL: url })).slice(1)
  t.match(await told("http://localhost:1234/v1"), [
    { mark: "note", text: /^OPENAI_BASE_URL names localhost:1234 on this machine/, fix: /http:\/\/127\.0\.0\.1:8080/ },
  ])
  for (const fine of ["http://127.0.0.1:8080/v1", "http://localhost:8080/v1", "https://api.corp.test/v1"])
    t.same(await told(fine), [], fine)
})

test("our address may be written in several ways", (t) => {
  const leads = (proxy: string, host = "127.0.0.1", port = 8_080) => {
    const { patient } = makePatient({ env: { HTTPS_PROXY: proxy } })
    return leadsHere({ ...patient, values: { ...patient.values, host, port } })
  }
  for (const proxy of ["http://127.0.0.1:8080", "localhost:8080", "http://[::1]:8080/"])
    t.equal(leads(proxy), true, proxy)
  t.equal(leads("http://10.0.0.7:8080", "10.0.0.7"), true)
  t.equal(leads("http://localhost", "127.0.0.1", 80), true)
  t.equal(leads("https://localhost", "127.0.0.1", 443), true)
  for (const proxy of ["", "http://127.0.0.1:8081", "http://corp.test:8080"]) t.equal(leads(proxy), false, proxy)
  t.end()
})
