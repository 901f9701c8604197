/**
 * The tiny model as the addon `local-model` runs it, with node-llama-cpp itself. LLMPROXY_TEST_NODE_LLAMA_CPP names the folder that
 * has it; where it is not installed the model is still a file that can be listed.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { findLlama } from "../../../lib/services/llama-package.ts"
import { tinyLlama } from "./tiny-llama.ts"

const { LLMPROXY_TEST_NODE_LLAMA_CPP: folder } = process.env

/** Folder with node-llama-cpp; undefined: it is not installed. */
const LIBRARY = folder !== undefined && findLlama(folder).url !== undefined ? folder : undefined

/** For a test's `skip`. */
export const NO_LIBRARY =
  LIBRARY === undefined && "node-llama-cpp is not installed; name its folder with LLMPROXY_TEST_NODE_LLAMA_CPP"

/** Writes the model to `place`/embedded.gguf; the variables by which a program runs it. */
export function embeddedModel(place: string): Record<string, string> {
  const file = join(place, "embedded.gguf")
  writeFileSync(file, tinyLlama())
  const library = LIBRARY === undefined ? {} : { LLMPROXY_LOCAL_MODEL_LIBRARY: LIBRARY }
  return { LLAMA_MODEL_FILE: file, LLAMA_CONTEXT_SIZE: "512", LLMPROXY_LOCAL_MODEL_THREADS: "1", ...library }
}

/** What that model answers to. */
export const EMBEDDED_NAMES = ["embedded", "embedded.gguf", "llama"]
