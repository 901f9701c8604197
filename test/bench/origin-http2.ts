/** The benchmark's HTTP/2 origin: fixed answers, as origin.ts gives them. Prints its port; ends with its parent. */
import { readFileSync } from "node:fs"
import { createSecureServer } from "node:http2"

const ANSWER = Buffer.from(JSON.stringify({ id: "x".repeat(24), text: "lorem ipsum ".repeat(80) }).padEnd(1_024, " "))
const HEAD = {
  ":status": 200,
  "content-type": "application/json",
  date: "Fri, 20 Nov 2026 10:00:00 GMT",
  server: "origin",
  "x-request-id": "req_0123456789",
  "content-length": ANSWER.length,
}

const [certFile = "", keyFile = ""] = process.argv.slice(2)
const server = createSecureServer({ key: readFileSync(keyFile), cert: readFileSync(certFile) })
server.on("stream", (stream) => {
  stream.on("error", () => {})
  stream.resume()
  stream.once("end", () => {
    stream.respond(HEAD)
    stream.end(ANSWER)
  })
})
server.on("sessionError", () => {})
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (typeof address === "object" && address !== null) process.stdout.write(`${address.port}\n`)
})
process.stdin.resume().on("end", () => process.exit(0))
