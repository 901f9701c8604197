/** mockttp as a peer: pass-through, recording nothing. */
import { readFileSync } from "node:fs"
import { getLocal } from "mockttp"

const [caKeyFile = "", caCertFile = "", caFile = ""] = process.argv.slice(2)
const server = getLocal({
  https: { key: readFileSync(caKeyFile, "utf8"), cert: readFileSync(caCertFile, "utf8") },
  recordTraffic: false,
  http2: false,
})
await server.forUnmatchedRequest().thenPassThrough({
  additionalTrustedCAs: [{ cert: readFileSync(caFile, "utf8") }],
})
await server.start()
process.stdout.write(`${server.port}\n`)
process.stdin.resume().on("end", () => process.exit(0))
