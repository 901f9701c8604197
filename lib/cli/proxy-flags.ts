/**
 * The flags of the commands that start a proxy, and where the values of its options come from because of them.
 */
import { join, resolve } from "node:path"
import { readConfigFile } from "../options/config-file.ts"
import { CORE_OPTIONS } from "../options/core.ts"
import { type OptionSources, readEnvFile } from "../options/sources.ts"
import type { CommandLine, Flag, Flags } from "./command.ts"
import type { World } from "./world.ts"

const OWN_FLAGS = {
  port: { alias: "p", value: "PORT" },
  host: { value: "ADDRESS" },
  mode: { alias: "m", value: "SPEC" },
  "base-upstream": { value: "URL" },
  "base-host": { value: "NAME" },
  "base-origin": { value: "ORIGIN" },
  "connect-to": { value: "RULE" },
  "upstream-ca": { value: "FILE" },
  insecure: {},
  "ignore-hosts": { value: "RE" },
  "allow-hosts": { value: "RE" },
  "proxy-auth": { value: "USER:PASS" },
  "proxy-auth-file": { value: "FILE" },
  "allow-clients": { value: "CIDR" },
  "allow-private": {},
  "trusted-proxy": { value: "CIDR" },
  "client-cert": { value: "FILE" },
  certs: { value: "[HOST=]FILE" },
  "flow-detail": { value: "0..4" },
  database: { value: "URL" },
  "log-format": { value: "text|json" },
} as const

/** The options of the program that have a flag of their own; the others are set with --set. */
const OPTION_FLAGS: Flags = Object.fromEntries(
  Object.entries(OWN_FLAGS).map(([name, shown]) => [name, { ...shown, ...optionFlag(optionOf(name)) }]),
)

/** Where files are looked for: of every command. */
export const PLACE_FLAGS = {
  config: { type: "text", value: "FILE", help: "Config file.", default: "config.yaml in the confdir" },
  confdir: { type: "text", value: "DIR", help: "Folder of the CA and the config file.", default: "~/.llmproxy" },
  dotenv: { type: "text", value: "FILE", help: "File with environment variables.", default: ".env" },
} as const satisfies Flags

export const PROXY_FLAGS: Flags = {
  script: { type: "list", alias: "s", value: "ADDON", help: "Load an addon: a file, or a shipped one by name." },
  set: { type: "list", value: "NAME=VALUE", help: "Set an option, as in --set conductor.localModel=qwen." },
  ...OPTION_FLAGS,
  ...PLACE_FLAGS,
  redis: {
    type: "text",
    value: "URL",
    help: "redis://HOST:6379, where -s keys counts what keys use; better set by LLMPROXY_REDIS where it has a password.",
    default: "the database",
  },
  quiet: { type: "switch", alias: "q", help: "Print no flows, only warnings and errors." },
  verbose: { type: "switch", alias: "v", help: "Log more." },
}

/** The flags that say where a proxy listens, for commands that only talk about one. */
export const ADDRESS_FLAGS: Flags = {
  ...Object.fromEntries(["port", "host"].map((name) => [name, OPTION_FLAGS[name] ?? { type: "text", help: "" }])),
  ...PLACE_FLAGS,
}

function optionOf(flag: string): keyof typeof CORE_OPTIONS {
  const name = flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
  if (!isOption(name)) throw new Error(`--${flag}: no option is called ${name}`)
  return name
}

function isOption(name: string): name is keyof typeof CORE_OPTIONS {
  return Object.hasOwn(CORE_OPTIONS, name)
}

function optionFlag(name: keyof typeof CORE_OPTIONS): Flag {
  const { help, type, default: value } = CORE_OPTIONS[name]
  if (type === "boolean") return { type: "switch", help }
  if (type === "list") return { type: "list", help }
  return { type: "text", help, default: String(value) }
}

export interface Sources {
  readonly sources: OptionSources
  readonly confdir: string
  /** Absolute; there need not be one. */
  readonly configFile: string
}

/** Reads the files that the line names, or that are at their usual places. Throws a UsageError. */
export async function sourcesOf(line: CommandLine, world: World): Promise<Sources> {
  const named = line.text("dotenv")
  const envFile = readEnvFile(resolve(world.cwd, named ?? ".env"), named !== undefined)
  const confdir = confdirOf(line, world, envFile?.values)
  const config = line.text("config")
  const flags: Record<string, unknown> = {}
  for (const flag of Object.keys(OWN_FLAGS)) {
    const value = line.values[flag]
    if (value !== undefined) flags[optionOf(flag)] = value
  }
  const redis = line.text("redis")
  const configFile = config === undefined ? join(confdir, "config.yaml") : resolve(world.cwd, config)
  const sources = {
    // What is set by its own name counts before it.
    set: [...(redis === undefined ? [] : [`keys.redis=${redis}`]), ...line.list("set")],
    flags,
    env: world.env,
    envFile,
    config: await readConfigFile(configFile, config !== undefined),
  }
  return { sources, confdir, configFile }
}

/** The folder of the CA and the config file: flag, LLMPROXY_CONFDIR, .env, ~/.llmproxy. */
export function confdirOf(
  line: CommandLine,
  world: World,
  envFile: Readonly<Record<string, string | undefined>> = {},
): string {
  const { LLMPROXY_CONFDIR: fromEnv } = world.env
  const text = line.text("confdir") || fromEnv || envFile.LLMPROXY_CONFDIR
  return text ? resolve(world.cwd, text) : join(world.home, ".llmproxy")
}
