/** What doctor asks goes where llmproxy would go, and trusts whom it would trust. */
import { test } from "tap"
import { makeAsk } from "../../../lib/cli/doctor/ask.ts"
import { fetchAs } from "../../../lib/cli/doctor/fetch.ts"
import { DEFAULT_SETTINGS, type ProxySettings } from "../../../lib/proxy/settings.ts"
import { ManualClock } from "../../../lib/testing/manual-clock.ts"
import { jsonReply } from "../../helpers/hosts/chat-replies.ts"
import { sharedCertificates, startOrigin } from "../../helpers/test-proxy.ts"

function askAs(settings: Partial<ProxySettings>) {
  return makeAsk(new ManualClock(), fetchAs({ ...DEFAULT_SETTINGS, ...settings }))
}

test("--connect-to and --upstream-ca hold for it, --insecure too", async (t) => {
  const origin = await startOrigin(t, jsonReply("Hi"), "llm.test")
  const connectTo = [{ host: "llm.test", port: undefined, toHost: "127.0.0.1", toPort: origin.port }]
  const upstreamCa = [(await sharedCertificates()).ca]
  const url = "https://llm.test/v1/models"
  t.match(await askAs({ connectTo, upstreamCa })(url), { kind: "answer", status: 200 })
  t.match(origin.requests[0]?.head, /^host: llm\.test$/im)
  t.match(await askAs({ connectTo })(url), { kind: "failed", why: /UNABLE_TO|SELF_SIGNED/ })
  t.match(await askAs({ connectTo, verify: false })(url), { kind: "answer", status: 200 })
  const named = await askAs({
    connectTo: [{ ...connectTo[0], host: "", toHost: "127.0.0.1", toPort: origin.port, port: 443 }],
    upstreamCa,
  })
  t.match(await named("https://other.test/"), { kind: "failed", why: /ALTNAME/ }, "the name is still the URL's")
})

test("a place without a rule is asked as it is", async (t) => {
  const origin = await startOrigin(t, jsonReply("Hi"))
  const ask = askAs({ connectTo: [{ host: "llm.test", port: 80, toHost: "127.0.0.1", toPort: 1 }] })
  t.match(await ask(`http://127.0.0.1:${origin.port}/`), { kind: "answer", status: 200 })
  t.match(await ask("http://llm.test/"), { kind: "refused" }, "80 is http's port")
})
