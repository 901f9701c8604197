/** mockttp as a peer: pass-through, recording nothing. */
import { readFileSync, writeFileSync } from "node:fs"
import { generateCACertificate, getLocal } from "mockttp"

const [ownCaFile = "", caFile = "", http2 = ""] = process.argv.slice(2)
// Its CA has to be RSA: it makes one of its own, and says where.
const ca = await generateCACertificate()
writeFileSync(ownCaFile, ca.cert)
const server = getLocal({
  https: { key: ca.key, cert: ca.cert },
  recordTraffic: false,
  http2: http2 === "http2",
})
await server.forUnmatchedRequest().thenPassThrough({
  additionalTrustedCAs: [{ cert: readFileSync(caFile, "utf8") }],
})
await server.start()
process.stdout.write(`${server.port}\n`)
process.stdin.resume().on("end", () => process.exit(0))
