/** http-mitm-proxy as a peer, with keep-alive to the upstream, which it does not do unasked. */
import { readFileSync } from "node:fs"
import { Agent } from "node:https"
import { Proxy as MitmProxy } from "http-mitm-proxy"

const [confdir = "", caFile = ""] = process.argv.slice(2)
const proxy = new MitmProxy()
// What it logs belongs on stderr: stdout carries the port.
const toStderr = (...words: unknown[]) => void process.stderr.write(`${words.join(" ")}\n`)
console.debug = toStderr
console.log = toStderr

proxy.onError((_context, error) => toStderr(String(error)))
proxy.listen(
  {
    port: 0,
    host: "127.0.0.1",
    sslCaDir: confdir,
    keepAlive: true,
    httpsAgent: new Agent({ keepAlive: true, ca: readFileSync(caFile) }),
  },
  () => process.stdout.write(`${proxy.httpPort}\n`),
)
process.stdin.resume().on("end", () => process.exit(0))
