/**
 * The files for containers, checked for form: no Docker runs here. What they name is there: files, addons, flags, variables of options,
 * paths that are served.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { test } from "tap"
import { parse, parseAllDocuments } from "yaml"
import { SHIPPED_ADDONS } from "../addons/index.ts"
import { isObject } from "../lib/base/json.ts"
import { PROXY_FLAGS } from "../lib/cli/proxy-flags.ts"
import { CORE_OPTIONS } from "../lib/options/core.ts"
import { environmentNames } from "../lib/options/sources.ts"

const ROOT = resolve(import.meta.dirname, "..")
const read = (file: string) => readFileSync(join(ROOT, file), "utf8")
const dockerfile = read("Dockerfile")
const compose = read("deploy/compose.yaml")
const kubernetes = read("deploy/kubernetes.yaml")

/** Instructions with their arguments, continued lines joined. */
const instructions = dockerfile
  .replace(/\\\n/g, " ")
  .split("\n")
  .filter((line) => line.trim() !== "" && !line.startsWith("#") && !line.startsWith(" "))
  .map((line): [string, string] => [line.split(" ", 1)[0] ?? "", line.slice(line.indexOf(" ") + 1).trim()])

const of = (name: string) => instructions.filter(([word]) => word === name).map(([, rest]) => rest)

/** The value at a path of keys and indexes. */
function at(value: unknown, ...path: (string | number)[]): unknown {
  let here: unknown = value
  for (const key of path) here = Array.isArray(here) ? here[Number(key)] : isObject(here) ? here[key] : undefined
  return here
}

test("the image is built of files that are there, and runs as nobody who may write", (t) => {
  const known = [
    "FROM",
    "WORKDIR",
    "COPY",
    "RUN",
    "ENV",
    "USER",
    "VOLUME",
    "EXPOSE",
    "HEALTHCHECK",
    "STOPSIGNAL",
    "ENTRYPOINT",
    "CMD",
  ]
  for (const [word] of instructions) t.ok(known.includes(word), word)
  for (const copied of of("COPY").filter((rest) => !rest.startsWith("--from")))
    for (const file of copied.split(" ").slice(0, -1)) t.ok(existsSync(join(ROOT, file)), file)
  const ignored = read(".dockerignore")
    .split("\n")
    .filter((line) => line.startsWith("!"))
    .map((line) => line.slice(1))
  for (const copied of of("COPY").filter((rest) => !rest.startsWith("--from")))
    for (const file of copied.split(" ").slice(0, -1)) t.ok(ignored.includes(file), `${file} is part of what is sent`)
  t.strictSame(of("USER"), ["node"])
  t.ok(dockerfile.indexOf("\nUSER node") < dockerfile.indexOf("\nENTRYPOINT"))
  for (const image of of("FROM")) t.match(image, /^node:\d+-bookworm-slim( AS \w+)?$/)
  t.match(of("HEALTHCHECK")[0], "/health/live")
  for (const json of [...of("ENTRYPOINT"), ...of("CMD"), of("HEALTHCHECK")[0]?.replace(/^.*?CMD /, "") ?? ""])
    t.ok(Array.isArray(JSON.parse(json)), json)
  const { peerDependencies } = JSON.parse(read("package.json"))
  t.match(of("RUN").join("\n"), `ioredis@${peerDependencies.ioredis}`)
  t.end()
})

test("what a container is started with are flags and addons of ours", (t) => {
  const [own = "[]"] = of("CMD")
  const [, , deployment] = parseAllDocuments(kubernetes).map((document): unknown => document.toJS())
  const container = at(deployment, "spec", "template", "spec", "containers", 0)
  for (const args of [JSON.parse(own), at(container, "args")]) {
    t.ok(Array.isArray(args))
    for (const word of Array.isArray(args) ? args.map(String) : []) {
      if (word.startsWith("--")) t.ok(Object.hasOwn(PROXY_FLAGS, word.slice(2)), word)
      if (/^-\w$/.test(word))
        t.ok(
          Object.values(PROXY_FLAGS).some(({ alias }) => alias === word.slice(1)),
          word,
        )
    }
    t.match(args, ["-s", "gateway", "--host", "0.0.0.0"])
  }
  t.ok(SHIPPED_ADDONS.some(({ name }) => String(name) === "gateway"))
  t.end()
})

test("variables are those of options", (t) => {
  const core = Object.entries(CORE_OPTIONS).flatMap(([name, spec]) => environmentNames(undefined, name, spec))
  const addons = readdirSync(join(ROOT, "addons"), { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".ts"),
  )
  const declared = addons.flatMap((file) =>
    [...read(join("addons", file)).matchAll(/"(LLMPROXY_[A-Z_]+)"/g)].map(([, name = ""]) => name),
  )
  const known = new Set([...core, ...declared, "LLMPROXY_CONFDIR"])
  for (const [file, text] of [
    ["Dockerfile", dockerfile],
    ["compose.yaml", compose],
    ["kubernetes.yaml", kubernetes],
  ] as const)
    for (const [name] of text.matchAll(/LLMPROXY_[A-Z_]+/g)) t.ok(known.has(name), `${file}: ${name}`)
  t.end()
})

test("compose has the gateway, its stores and a local model, in the forms that compose takes", (t) => {
  const parsed: unknown = parse(compose)
  t.strictSame(Object.keys(Object(at(parsed, "services"))), ["llmproxy", "postgres", "redis", "vllm"])
  const gateway = at(parsed, "services", "llmproxy")
  t.match(gateway, { read_only: true, tmpfs: ["/tmp"], cap_drop: ["ALL"] })
  t.match(at(gateway, "volumes"), ["data:/data", "./services:/usr/src/services:ro"])
  const volumes = Object.keys(Object(at(parsed, "volumes")))
  for (const service of Object.values(Object(at(parsed, "services")))) {
    const mounts = at(service, "volumes")
    for (const mount of Array.isArray(mounts) ? mounts.map(String) : []) {
      const [source = ""] = mount.split(":")
      t.ok(source.startsWith(".") || volumes.includes(source), mount)
    }
    const image = String(at(service, "image"))
    t.ok(image === "llmproxy" || /^[\w./-]+:v?\d[\w.-]*$/.test(image), `${image} has a version`)
  }
  t.ok(isObject(parse(String(at(parsed, "configs", "gateway", "content")))))
  t.notMatch(compose, /sk-|password: [^$]/i)
  t.end()
})

test("the Kubernetes example selects what it makes, and asks for what is served", (t) => {
  const documents = parseAllDocuments(kubernetes)
  for (const { errors } of documents) t.strictSame(errors, [])
  const all = documents.map((document): unknown => document.toJS())
  t.strictSame(
    all.map((one) => at(one, "kind")),
    ["Secret", "ConfigMap", "Deployment", "Service"],
  )
  const [, config, deployment, service] = all
  const labels = at(deployment, "spec", "template", "metadata", "labels")
  t.strictSame(at(deployment, "spec", "selector", "matchLabels"), labels)
  t.strictSame(at(service, "spec", "selector"), labels)
  const pod = at(deployment, "spec", "template", "spec")
  t.match(pod, { securityContext: { runAsNonRoot: true }, automountServiceAccountToken: false })
  t.match(at(pod, "containers", 0, "securityContext"), {
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
  })
  const names = Object(at(pod, "volumes")).map((volume: unknown) => at(volume, "name"))
  for (const mount of Object(at(pod, "containers", 0, "volumeMounts"))) t.ok(names.includes(at(mount, "name")))
  for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"])
    t.match(at(pod, "containers", 0, probe, "httpGet", "path"), /^\/health\/(live|ready)$/)
  t.ok(isObject(parse(String(at(config, "data", "config.yaml")))))
  t.end()
})
