/** The cloud's key is tried without spending, and never shown. */
import { test } from "tap"
import type { Reply } from "../../../lib/cli/doctor/ask.ts"
import { checkCloud } from "../../../lib/cli/doctor/cloud.ts"
import { answer, LATE, makePatient } from "../../helpers/patient.ts"

const KEY = "sk-thekeyitself123"

async function check(reply: Reply, cloudKey: string | undefined = KEY) {
  const { patient, asked } = makePatient({}, { "https://api.openai.com/v1/models": reply })
  const [finding] = await checkCloud({ ...patient, conductor: { ...patient.conductor, cloudKey } })
  return { finding, asked }
}

test("without a key nothing is asked", async (t) => {
  for (const key of ["", undefined]) {
    const { patient, asked } = makePatient()
    const conductor = { ...patient.conductor, cloudKey: key }
    t.match(await checkCloud({ ...patient, conductor }), [{ mark: "note", fix: /OPENAI_API_KEY/ }])
    t.same(asked, [])
  }
})

test("a key that lists models is good", async (t) => {
  const { finding, asked } = await check(answer({ data: [] }))
  t.match(finding, { mark: "good", text: "https://api.openai.com takes the cloud key" })
  t.same(asked, [{ url: "https://api.openai.com/v1/models", headers: { authorization: `Bearer ${KEY}` } }])
})

test("a key that is refused is broken, and is not repeated", async (t) => {
  const said = { error: { message: `Incorrect API key provided: ${KEY} (org-${KEY})` } }
  const { finding } = await check(answer(said, 401))
  t.match(finding, {
    mark: "bad",
    text: /answers the cloud key with 401: Incorrect API key provided: /,
    fix: /another/,
  })
  t.notMatch(JSON.stringify(finding), "thekeyitself")
  t.match((await check(answer({}, 403))).finding, { mark: "bad", text: /with 403$/, fix: /another/ })
  t.match((await check(answer({}, 503))).finding, { mark: "bad", text: /with 503$/, fix: /status page/ })
})

test("a cloud that cannot be reached is broken when there is a key for it", async (t) => {
  t.match((await check(LATE)).finding, {
    mark: "bad",
    text: "https://api.openai.com does not answer: no answer within 2 s",
  })
})

test("a key that cannot be sent is told without being sent", async (t) => {
  const { finding, asked } = await check(answer({}), "sk-with space")
  t.match(finding, { mark: "bad", text: /other characters that no key has/ })
  t.same(asked, [])
})

test("the base upstream is asked, with or without /v1", async (t) => {
  for (const baseUpstream of ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"]) {
    const { patient } = makePatient({}, { "http://h:1/v1/models": answer({}) })
    const changed = {
      ...patient,
      values: { ...patient.values, baseUpstream },
      conductor: { ...patient.conductor, cloudKey: KEY },
    }
    t.match(await checkCloud(changed), [{ mark: "good" }], baseUpstream)
  }
})

test("what to do says which option would mend it", async (t) => {
  const fix = async (why: string, mode: string[] = []) => {
    const { patient } = makePatient({}, { "https://api.openai.com/v1/models": { kind: "failed", why } })
    const conductor = { ...patient.conductor, cloudKey: KEY }
    return (await checkCloud({ ...patient, conductor, values: { ...patient.values, mode } }))[0]?.fix
  }
  t.equal(await fix("ECONNRESET"), "check the network and --base-upstream")
  t.match(await fix("UNABLE_TO_VERIFY_LEAF_SIGNATURE"), /--upstream-ca FILE/)
  t.match(await fix("SELF_SIGNED_CERT_IN_CHAIN"), /--upstream-ca FILE/)
  t.match(await fix("ENOTFOUND", ["upstream:http://corp.test:3128"]), /doctor asked it directly/)
})
