/** The options of `keys`. */
import type { OptionSpecs } from "llmproxy"

export const OPTIONS = {
  master: {
    type: "string",
    default: "",
    secret: true,
    env: "LLMPROXY_MASTER_KEY",
    help: "The master key, in place of the one that is made at the first start.",
  },
  reserve: {
    type: "integer",
    default: 4_096,
    min: 1,
    help: "Tokens reserved for an answer of which no limit is known.",
  },
  lease: {
    type: "integer",
    default: 60,
    min: 3,
    help: "Seconds after which what a llmproxy that is gone has reserved is counted as used.",
  },
  clientGone: {
    type: "string",
    default: "abort",
    choices: ["abort", "drain", "estimate"],
    help: "What counts of an answer whose client leaves: the tokens so far, all (it is read to its end), or what was reserved.",
  },
  onDatabaseLost: {
    type: "string",
    default: "refuse",
    choices: ["refuse", "allow"],
    help: "What becomes of requests that have to be counted while the database is gone: refused (503), or let through uncounted.",
  },
  unknownPrice: {
    type: "string",
    default: "refuse",
    choices: ["refuse", "allow"],
    help: "What becomes of requests whose price is not known, of a key with a limit of money: refused, or let through for nothing.",
  },
  redis: {
    type: "string",
    default: "",
    secret: true,
    env: "LLMPROXY_REDIS",
    help: "redis://[USER:PASS@]HOST:6379: where what keys use is counted, in place of the database. Counts at the next start.",
  },
  pricesFile: {
    type: "string",
    default: "",
    help: "A JSON file of prices that count before those that llmproxy brings.",
  },
} as const satisfies OptionSpecs
