/**
 * A git server over HTTPS for end-to-end tests: git's own http-backend, run as CGI, over the repositories in a folder.
 */
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import type { IncomingMessage, ServerResponse } from "node:http"
import { createServer } from "node:https"
import type { AddressInfo } from "node:net"
import { promisify } from "node:util"
import type { Test } from "tap"
import { plainEnvironment } from "../command-process.ts"
import { sharedCertificates } from "../test-proxy.ts"

export const GIT_NAME = "git.test"

export interface GitHost {
  readonly port: number
  /** `METHOD path`, in order. */
  readonly requests: readonly string[]
}

/** Serves the bare repositories below `root` as https://git.test/NAME, for reading. */
export async function startGitHost(t: Test, root: string): Promise<GitHost> {
  const requests: string[] = []
  const tls = (await sharedCertificates()).chainFor(GIT_NAME)
  const server = createServer(tls, (request, response) => {
    requests.push(`${request.method} ${request.url}`)
    serve(t, root, request, response)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, requests }
}

/** Runs git in a folder, with no settings but these, and resolves to what it printed. */
export async function git(folder: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("git", args, { cwd: folder, env: gitEnvironment(folder) })
  return stdout.trim()
}

function gitEnvironment(home: string): Record<string, string> {
  const who = { NAME: "A Tester", EMAIL: "tester@example.test", DATE: "2026-01-01T00:00:00Z" }
  const roles = ["AUTHOR", "COMMITTER"].flatMap((role) =>
    Object.entries(who).map(([what, value]) => [`GIT_${role}_${what}`, value]),
  )
  return plainEnvironment(home, Object.fromEntries(roles))
}

/** One request as CGI (RFC 3875): the head in variables, the body to its stdin, its output as the answer. */
function serve(t: Test, root: string, request: IncomingMessage, response: ServerResponse): void {
  const { pathname, search } = new URL(request.url ?? "/", `https://${GIT_NAME}`)
  const field = (name: string) => String(request.headers[name] ?? "")
  const env = plainEnvironment(root, {
    GIT_PROJECT_ROOT: root,
    GIT_HTTP_EXPORT_ALL: "1",
    GIT_PROTOCOL: field("git-protocol"),
    REQUEST_METHOD: request.method ?? "",
    PATH_INFO: pathname,
    QUERY_STRING: search.slice(1),
    CONTENT_TYPE: field("content-type"),
    HTTP_CONTENT_ENCODING: field("content-encoding"),
  })
  if (request.headers["content-length"] !== undefined) env.CONTENT_LENGTH = field("content-length")
  const backend = spawn("git", ["http-backend"], { env, stdio: ["pipe", "pipe", "ignore"] })
  t.teardown(() => backend.kill("SIGKILL"))
  backend.stdin.on("error", () => {}) // It may answer without reading on.
  request.pipe(backend.stdin)
  let head: Buffer | undefined = Buffer.alloc(0)
  backend.stdout.on("data", (bytes: Buffer) => {
    if (head === undefined) return void response.write(bytes)
    head = Buffer.concat([head, bytes])
    const end = head.indexOf("\r\n\r\n")
    if (end < 0) return
    writeHead(response, head.toString("latin1", 0, end))
    response.write(head.subarray(end + 4))
    head = undefined
  })
  backend.stdout.on("end", () => response.end())
}

function writeHead(response: ServerResponse, head: string): void {
  for (const line of head.split("\r\n")) {
    const [name = "", value = ""] = line.split(/: (.*)/s)
    if (name === "Status") response.statusCode = Number.parseInt(value, 10)
    else response.setHeader(name, value)
  }
}
