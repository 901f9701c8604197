/**
 * What an addon's `import` of the program's own names gives: the running instance's namespaces, each loaded when first asked for.
 */
import type { ProvidedModules } from "./loader/bundle.ts"

export const PROVIDED: ProvidedModules = {
  llmproxy: () => import("./index.ts"),
  "llmproxy/openapi": () => import("./serve/openapi.ts"),
  "llmproxy/templates": () => import("./llm/template/index.ts"),
  "llmproxy/targets": () => import("./targets/index.ts"),
  "llmproxy/testing": () => import("./testing/parts.ts"),
  kysely: () => import("kysely"), // what `tables` gives is this one's
}
