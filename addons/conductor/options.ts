/**
 * The conductor's options, and what follows from them alone: where the local host is. Names in capitals are the
 * environment variables of Pythagora-LLM-Proxy, which people have in their .env files.
 */
import type { OptionSpecs, OptionValues } from "llmproxy"
import { TEMPLATES } from "llmproxy/templates"
import { TEMPERATURE_DEFAULT } from "../shared/local-answers.ts"

/** LM Studio's port: the most common local host of this addon's users. */
const DEFAULT_HOST = "127.0.0.1"
const DEFAULT_PORT = 1234

export const OPTIONS = {
  localUrl: { type: "string", help: "Base URL of the local host, with or without /v1; default http://127.0.0.1:1234." },
  localUrls: {
    type: "list",
    default: [],
    help: "Base URLs of several local hosts, in the order in which they are tried; in place of localUrl.",
  },
  localHost: { type: "string", env: "LOCAL_LLM_HOST", help: "Name or address of the local host, without localUrl." },
  localPort: {
    type: "integer",
    min: 1,
    max: 65_535,
    env: "LOCAL_LLM_PORT",
    help: "Port of the local host, without localUrl; default 1234.",
  },
  localKey: { type: "string", secret: true, help: "Key that the local host wants, sent as a bearer token." },
  localModel: {
    type: "string",
    help: "Model to ask for; default: the first of the host's that is no embedding model.",
  },
  localApi: {
    type: "string",
    choices: ["completions", "chat", "messages", "auto", "ollama", "llamacpp"],
    default: "completions",
    help:
      "completions: one raw prompt; chat: all texts in one user message; messages: the messages as they are; auto: what " +
      "suits the host and the model, a raw prompt for DeepSeek-Coder, else the messages; ollama: the messages by " +
      "/api/chat; llamacpp: one raw prompt by /completion.",
  },
  template: {
    type: "string",
    help:
      `Prompt format of raw prompts: ${TEMPLATES.map(({ name }) => name).join(", ")}; host for the host's own; or the ` +
      "path of a .jinja file. Default: by the model's name, else the host's own, else DeepSeek-Coder's.",
  },
  localParams: {
    type: "json",
    default: {
      temperature: TEMPERATURE_DEFAULT,
      n: 1,
      top_p: 0.95,
      top_k: 40,
      min_p: 0.05,
      presence_penalty: 0,
      frequency_penalty: 0,
    },
    help: "Parameters that replace the client's in requests to the local host, as JSON; {} for none.",
  },
  localConcurrency: {
    type: "integer",
    min: 1,
    default: 1,
    help: "Requests that one local host gets at a time; others wait.",
  },
  localStallMs: {
    type: "integer",
    min: 1,
    default: 120_000,
    help: "Milliseconds that a local host may take to the first word of a streamed answer; five times as many where the answer comes whole.",
  },
  cooldownMs: {
    type: "integer",
    min: 0,
    default: 10_000,
    help: "Milliseconds that a host which failed is left alone, doubled with each further failure; 0: it is always asked.",
  },
  localModels: {
    type: "list",
    default: [],
    help: "Models, as clients name them, that never leave: a local host answers them, or nobody; * stands for anything.",
  },
  cloudModels: { type: "list", default: [], help: "Models that always go to the cloud; * stands for anything." },
  preferLocal: {
    type: "list",
    default: [],
    help: "Models that go to the local host whatever their size, and to the cloud where it cannot answer them.",
  },
  modelMap: {
    type: "json",
    default: {},
    help: 'Which local model stands for the one that the client names, as JSON: {"gpt-4*": "deepseek-coder-6.7b"}.',
  },
  maxTokenCount: {
    type: "integer",
    min: 1,
    default: 8_192,
    env: "MAX_TOKEN_COUNT",
    help: "A request that needs as much room, its answer included, goes to the cloud.",
  },
  tokenRatio: {
    type: "number",
    min: 0.1,
    default: 1.35,
    help: "The local model's tokens for each one counted with OpenAI's tokenizer, until its own answers have told.",
  },
  tokenizer: {
    type: "list",
    default: [],
    help:
      "The local model's own vocabulary, a tokenizer.json or a .gguf file: prompts are counted with it where the host does " +
      "not count them. GLOB=FILE for one of several models.",
  },
  answerReserve: {
    type: "integer",
    min: 0,
    default: 1_024,
    help: "Tokens kept free for an answer, at most; no more than a quarter of a known window.",
  },
  cloudKey: {
    type: "string",
    secret: true,
    env: "OPENAI_API_KEY",
    help: "Key for base-URL requests that bring none of OpenAI's.",
  },
  requery: {
    type: "boolean",
    default: true,
    help: "Load the requery addon, which asks again where a local answer is of no use.",
  },
  pythagoraFiles: {
    type: "boolean",
    default: true,
    help: "Load the pythagora-files addon, which writes the files that MIDDLE_MAN_JSON, OUTPUT_LOG and OPENAI_OUTPUT_LOG name.",
  },
  cloudModel: { type: "string", help: "Model that base-URL requests ask the cloud for, in place of the client's." },
  hosts: {
    type: "list",
    default: ["api.openai.com", "us.api.openai.com", "eu.api.openai.com", "ae.api.openai.com"],
    help: "Hosts whose intercepted chat requests are conducted.",
  },
} as const satisfies OptionSpecs

export type ConductorOptions = OptionValues<typeof OPTIONS>

/** The local hosts' URLs, each without `/v1`, in the order in which they are tried. Throws as `localBase` does. */
export function localBases(
  options: Pick<ConductorOptions, "localUrl" | "localUrls" | "localHost" | "localPort">,
): readonly string[] {
  if (options.localUrls.length === 0) return [localBase(options)]
  return [...new Set(options.localUrls.map((text) => trimmed(urlOf("localUrls", text))))]
}

/** The local host's URL without `/v1` and without a slash at its end. Throws an Error that names the option. */
export function localBase(options: Pick<ConductorOptions, "localUrl" | "localHost" | "localPort">): string {
  const { localUrl, localHost = DEFAULT_HOST, localPort } = options
  if (localUrl !== undefined) return trimmed(urlOf("localUrl", localUrl))
  const bare = localHost.split(":").length > 2 && !/[[/]/.test(localHost) ? `[${localHost}]` : localHost
  const text = bare.includes("://") ? bare : `http://${bare}`
  const url = urlOf("localHost", text)
  if (localPort !== undefined || !/:\d+(\/|$)/.test(text)) url.port = String(localPort ?? DEFAULT_PORT)
  return trimmed(url)
}

function urlOf(option: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url !== undefined && /^https?:$/.test(url.protocol)) return url
  throw new Error(`conductor.${option} ${text}: write a URL, for example http://127.0.0.1:1234/v1`)
}

function trimmed(url: URL): string {
  return url.origin + url.pathname.replace(/\/+$/, "").replace(/\/v1$/, "")
}
