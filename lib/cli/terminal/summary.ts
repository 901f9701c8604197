/**
 * What became of all flows, in a few lines when the program ends: requests, routes, tokens, tokens kept local. Counts
 * only, so that it holds no flow.
 */
import type { Flow } from "../../api/flow.ts"
import { printable } from "../../base/log.ts"
import type { ShownUsage } from "./flow-usage.ts"

/** Routes that are counted by name; further ones are counted together. */
const ROUTES_MAX = 32
/** The name of the route that keeps a request on this machine, as the conductor says it. */
const LOCAL = "local"

interface Tokens {
  input: number
  output: number
}

export class Summary {
  #requests = 0
  #failed = 0
  readonly #routes = new Map<string, number>()
  #isCounted = false
  readonly #all: Tokens = { input: 0, output: 0 }
  readonly #local: Tokens = { input: 0, output: 0 }

  /** A flow of a client has ended. */
  add(flow: Flow, usage: ShownUsage): void {
    const { llm, routed, error } = flow
    this.#requests += 1
    if (error !== undefined || (flow.response?.status ?? 0) >= 400) this.#failed += 1
    if (llm === undefined) return
    const name = routed?.name ?? "direct"
    const route = this.#routes.has(name) || this.#routes.size < ROUTES_MAX ? name : "others"
    this.#routes.set(route, (this.#routes.get(route) ?? 0) + 1)
    this.#isCounted ||= usage.isCounted
    for (const tokens of route === LOCAL ? [this.#all, this.#local] : [this.#all]) {
      tokens.input += usage.input ?? 0
      tokens.output += usage.output ?? 0
    }
  }

  /** Empty when nothing happened. */
  text(): string {
    if (this.#requests === 0) return ""
    const failed = this.#failed === 0 ? "" : `, ${number(this.#failed)} failed`
    const routes = [...this.#routes].map(([name, count]) => `${printable(name)} ${number(count)}`).join(", ")
    const total = this.#all.input + this.#all.output
    const local = this.#local.input + this.#local.output
    const share = total === 0 ? 0 : Math.round((100 * local) / total)
    const about = this.#isCounted ? "~" : ""
    return [
      `${number(this.#requests)} ${this.#requests === 1 ? "request" : "requests"}${failed}`,
      routes === "" ? "" : `routes: ${routes}`,
      total === 0 ? "" : `tokens: ${about}${number(this.#all.input)} in, ${about}${number(this.#all.output)} out`,
      local === 0 ? "" : `kept local: ${about}${number(local)} tokens (${share} %)`,
    ]
      .filter((line) => line !== "")
      .map((line) => `${line}\n`)
      .join("")
  }
}

function number(value: number): string {
  return value.toLocaleString("en-US")
}
