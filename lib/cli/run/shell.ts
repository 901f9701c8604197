/**
 * Assignments of variables in the words of a shell. Pure.
 */
import { powershellQuote, shellQuote } from "../../../certs/trust.ts"
import type { Environment } from "./environment.ts"

export const SHELLS = ["sh", "fish", "powershell"] as const
export type Shell = (typeof SHELLS)[number]

/** One line a variable, for `eval`, fish's `source` or PowerShell's Invoke-Expression. */
export function assignments(environment: Environment, shell: Shell): string {
  return Object.entries(environment)
    .map(([name, value]) => `${value === undefined ? removal(name, shell) : assignment(name, value, shell)}\n`)
    .join("")
}

function assignment(name: string, value: string, shell: Shell): string {
  if (shell === "powershell") return `$env:${name} = ${powershellQuote(value)}`
  if (shell === "fish") return `set -gx ${name} ${fishQuote(value)}`
  // Quoted always: a reader of the lines need not know which characters are safe.
  return `export ${name}=${value === "" || shellQuote(value) === value ? `'${value}'` : shellQuote(value)}`
}

function removal(name: string, shell: Shell): string {
  if (shell === "powershell") return `Remove-Item -ErrorAction Ignore Env:${name}`
  return shell === "fish" ? `set -e ${name}` : `unset ${name}`
}

function fishQuote(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`
}

/** By $SHELL; PowerShell on Windows. */
export function usualShell(platform: NodeJS.Platform, env: Environment): Shell {
  if (platform === "win32") return "powershell"
  return env.SHELL?.endsWith("/fish") ? "fish" : "sh"
}
