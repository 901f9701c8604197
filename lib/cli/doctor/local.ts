/**
 * Looks for model servers on this machine: at their usual ports, and where the conductor was told. Each is asked for its
 * models and for one token.
 */
import { baseUrlOf } from "../../options/core.ts"
import { duration } from "../terminal/flow-line.ts"
import { fieldOf } from "./ask.ts"
import type { Finding, Patient } from "./check.ts"
import { identify, type LocalModel, type LocalServer, preferred } from "./local-servers.ts"
import { isOurs } from "./machine.ts"

const USUAL: Readonly<Record<number, string>> = {
  1234: "LM Studio",
  11434: "Ollama",
  8000: "vLLM, llama-cpp-python",
  8080: "llama.cpp",
}
const OLLAMA_PORT = "11434"
const START = "start the model server that is to listen there"
/** Models that are named; further ones are counted. */
const SHOWN_MAX = 5

interface Place {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** The person has named it, so it has to be there. */
  readonly isNamed: boolean
}

export async function checkLocal(patient: Patient): Promise<Finding[]> {
  const places = placesOf(patient)
  const found = await Promise.all(places.map((place) => checkPlace(patient, place)))
  const findings = found.flat()
  if (findings.length > 0) return findings
  const ports = Object.entries(USUAL).map(([port, name]) => `${port} (${name})`)
  const fix = "start one, or name yours with --set conductor.localUrl=http://HOST:PORT"
  return [{ mark: "note", text: `no model server on this machine's ports ${ports.join(", ")}`, fix }]
}

function placesOf({ conductor }: Patient): Place[] {
  const named = [...new Set(conductor.localUrls.map((url) => url.replace(/\/+$/, "").replace(/\/v1$/, "")))]
  const key = conductor.localKey
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
  const usual = Object.keys(USUAL).map((port) => baseUrlOf("127.0.0.1", Number(port)))
  const others = usual.filter((url) => !named.includes(url) && !named.includes(url.replace("127.0.0.1", "localhost")))
  return [
    ...named.map((url): Place => ({ url, headers, isNamed: true })),
    ...others.map((url): Place => ({ url, headers: {}, isNamed: false })),
  ]
}

async function checkPlace(patient: Patient, { url, headers, isNamed }: Place): Promise<Finding[]> {
  const { ask } = patient
  const reply = await ask(`${url}/v1/models`, { headers })
  if (reply.kind !== "answer") {
    if (!isNamed && reply.kind === "refused") return []
    const mark = isNamed ? "bad" : "note"
    const isOllama = reply.kind === "late" && new URL(url).port === OLLAMA_PORT
    const fix = isOllama ? "an Ollama that is silent may be loading a model: run doctor again" : START
    return [{ mark, text: `${url} does not answer: ${reply.why}`, fix }]
  }
  if (await isOurs(patient, url)) return []
  const server = await identify(ask, url, headers)
  if (server === undefined) {
    if (!isNamed) return []
    return [
      {
        mark: "bad",
        text: `${url} is no model server: GET /v1/models gives ${reply.status}`,
        fix: "correct conductor.localUrl",
      },
    ]
  }
  const model = preferred(server.models)
  const about = `${url}  ${server.name}`
  if (model === undefined && server.listsNone === true)
    return [
      {
        mark: "note",
        text: `${about}: does not tell its models`,
        fix: "name one with --set conductor.localModel=NAME",
      },
    ]
  if (model === undefined) return [{ mark: "bad", text: `${about}: has no model`, fix: "load one there" }]
  const room = roomFinding(url, model, patient.conductor.maxTokenCount)
  return [await tokenFinding(patient, { about, url, headers, server, model }), ...(room === undefined ? [] : [room])]
}

interface Asked {
  readonly about: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly server: LocalServer
  readonly model: LocalModel
}

/** Asks for one token, which costs next to nothing and proves all of it. */
async function tokenFinding({ ask }: Patient, { about, url, headers, server, model }: Asked): Promise<Finding> {
  const json = { model: model.id, messages: [{ role: "user", content: "Hi" }], max_tokens: 1, stream: false }
  const reply = await ask(`${url}/v1/chat/completions`, { headers, json })
  const text = `${about}: ${modelsText(server.models)}`
  if (reply.kind === "late")
    return { mark: "note", text: `${text}; ${model.id} gave ${reply.why}`, fix: "it may be loading: run doctor again" }
  if (reply.kind !== "answer")
    return { mark: "bad", text: `${text}; ${model.id} gave no answer: ${reply.why}`, fix: "look at the server's log" }
  if (Array.isArray(fieldOf(reply.json, "choices")) && reply.status === 200)
    return { mark: "good", text: `${text}; ${model.id} answers in ${duration(reply.ms)}` }
  const said = fieldOf(reply.json, "error", "message") ?? fieldOf(reply.json, "error") ?? reply.text
  const why = `${reply.status} ${String(said).slice(0, 200)}`
  return { mark: "bad", text: `${text}; ${model.id} gave an error: ${why}`, fix: "load the model there" }
}

function modelsText(models: readonly LocalModel[]): string {
  const shown = models.slice(0, SHOWN_MAX).map(({ id, context }) => {
    return context === undefined ? id : `${id} (context ${context})`
  })
  const more = models.length - shown.length
  return shown.join(", ") + (more > 0 ? ` and ${more} more` : "")
}

function roomFinding(url: string, { id, context }: LocalModel, threshold: number): Finding | undefined {
  if (context === undefined || context >= threshold) return undefined
  const text = `${url}: the context of ${id} (${context}) is smaller than conductor.maxTokenCount (${threshold})`
  const fix = `--set conductor.maxTokenCount=${context}, or load the model with a longer context`
  return { mark: "note", text, fix }
}
