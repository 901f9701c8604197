/** The variables that run sets, and the words of each shell for them. */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { test } from "tap"
import { API_HOSTS, hidingEntries, proxyEnvironment, visibleNoProxy } from "../../../lib/cli/run/environment.ts"
import { assignments, usualShell } from "../../../lib/cli/run/shell.ts"

const FILES = { caFile: "/c/ca.pem", bundleFile: "/c/bundle.pem", wgetFile: "/c/wgetrc" }
const INPUT = { proxyUrl: "http://127.0.0.1:8080", ...FILES, targets: [] }

test("every variable of the contract is set, the proxy's in both cases", async (t) => {
  const variables = proxyEnvironment({ ...INPUT, env: {} })
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"])
    t.equal(variables[name], "http://127.0.0.1:8080", name)
  for (const name of ["NODE_EXTRA_CA_CERTS", "DENO_CERT"]) t.equal(variables[name], "/c/ca.pem", name)
  const bundles = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CODEX_CA_CERTIFICATE", "GIT_SSL_CAINFO"]
  for (const name of [...bundles, "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE"]) t.equal(variables[name], "/c/bundle.pem", name)
  t.equal(variables.SYSTEM_WGETRC, "/c/wgetrc")
  t.equal(variables.NODE_USE_ENV_PROXY, "1")
})

test("who had a root in NODE_EXTRA_CA_CERTS gets the bundle that holds it", async (t) => {
  const nodeExtra = (had: string) =>
    proxyEnvironment({ ...INPUT, env: { NODE_EXTRA_CA_CERTS: had } }).NODE_EXTRA_CA_CERTS
  t.equal(nodeExtra("/corp.pem"), "/c/bundle.pem")
  t.equal(nodeExtra("/c/ca.pem"), "/c/ca.pem", "our own is no other's")
  t.equal(nodeExtra("/c/bundle.pem"), "/c/ca.pem")
  t.equal(nodeExtra(""), "/c/ca.pem")
})

test("NO_PROXY loses what hides an LLM host, keeps the rest, and keeps this machine direct", async (t) => {
  const seen = (text: string | undefined) => visibleNoProxy(text, API_HOSTS)
  t.equal(seen(undefined), "localhost,127.0.0.1,::1")
  t.equal(seen("*"), "localhost,127.0.0.1,::1")
  t.equal(seen("corp.example, .openai.com,anthropic.com;x"), "corp.example,anthropic.com;x,localhost,127.0.0.1,::1")
  t.equal(seen("localhost,10.0.0.0/8"), "localhost,10.0.0.0/8,127.0.0.1,::1")
  const { NO_PROXY, no_proxy } = proxyEnvironment({ ...INPUT, env: { NO_PROXY: "llm.corp" }, targets: ["llm.corp"] })
  t.same([NO_PROXY, no_proxy], ["localhost,127.0.0.1,::1", "localhost,127.0.0.1,::1"])
  t.match(
    proxyEnvironment({ ...INPUT, env: { NO_PROXY: "a", no_proxy: "b" } }).NO_PROXY,
    /^b,/,
    "lower case wins, as in curl",
  )
})

test("an entry hides a host by its name, a parent's name, a leading dot or star, and with a port", async (t) => {
  const hosts = ["api.openai.com"]
  for (const entry of [
    "*",
    "api.openai.com",
    "openai.com",
    ".openai.com",
    "*.openai.com",
    "API.OpenAI.com:443",
    ".com",
  ])
    t.same(hidingEntries(entry, hosts), [entry], entry)
  for (const entry of ["penai.com", "x.api.openai.com", "openai.com.evil", "127.0.0.1", ""])
    t.same(hidingEntries(entry, hosts), [], entry)
})

const AWKWARD = { PLAIN: "http://127.0.0.1:1", QUOTES: `it's "$(id)" \\ %`, EMPTY: "", GONE: undefined }

test("a POSIX shell reads back exactly what was meant", async (t) => {
  const script = `GONE=here; ${assignments(AWKWARD, "sh")} printf '%s|' "$PLAIN" "$QUOTES" "$EMPTY" "\${GONE-unset}"`
  const { stdout } = await promisify(execFile)("/bin/sh", ["-c", script])
  t.equal(stdout, `${AWKWARD.PLAIN}|${AWKWARD.QUOTES}||unset|`)
})

test("each shell gets its own words", async (t) => {
  t.equal(assignments({ A: "b", C: undefined }, "sh"), "export A='b'\nunset C\n")
  t.equal(assignments({ A: "it's \\", C: undefined }, "fish"), "set -gx A 'it\\'s \\\\'\nset -e C\n")
  t.equal(
    assignments({ A: "it's", C: undefined }, "powershell"),
    "$env:A = 'it''s'\nRemove-Item -ErrorAction Ignore Env:C\n",
  )
})

test("the usual shell is $SHELL's family, PowerShell on Windows", async (t) => {
  t.equal(usualShell("linux", { SHELL: "/usr/bin/fish" }), "fish")
  t.equal(usualShell("linux", { SHELL: "/bin/bash" }), "sh")
  t.equal(usualShell("darwin", {}), "sh")
  t.equal(usualShell("win32", {}), "powershell")
})
