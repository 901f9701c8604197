/**
 * The process of one model, started by model-process.ts: `node child.ts`, spoken to over its channel. It ends with the proxy, and
 * when it is told to; what the library makes of a broken file ends it alone.
 */
import { Engine } from "./engine.ts"
import { loadLibrary } from "./library.ts"
import { type FromProcess, isToProcess, messageIn, type ToProcess } from "./messages.ts"

let engine: Engine | undefined

function tell(message: FromProcess): void {
  if (process.connected) process.send?.(message)
}

async function load({ file, contextSize, threads, library }: ToProcess & { kind: "load" }): Promise<void> {
  let loaded: Awaited<ReturnType<typeof loadLibrary>>
  try {
    loaded = await loadLibrary(library)
  } catch (thrown) {
    return tell({ kind: "failed", why: "library", message: messageIn(thrown) })
  }
  let told = 0
  try {
    engine = await Engine.load(loaded, { file, contextSize, threads }, (part) => {
      const percent = Math.floor(part * 100)
      if (percent > told) tell({ kind: "progress", part })
      told = Math.max(told, percent)
    })
    tell({ kind: "loaded", model: engine.facts })
  } catch (thrown) {
    tell({ kind: "failed", why: "model", message: messageIn(thrown) })
  }
}

process.on("message", (message) => {
  if (!isToProcess(message)) return
  if (message.kind === "load") void load(message)
  else if (message.kind === "generate") void engine?.generate(message.id, message.generation, tell)
  else engine?.stop(message.id)
})
// Ctrl-C reaches the whole group: the proxy decides when answers end.
process.on("SIGINT", () => {})
process.on("disconnect", () => process.exit(0))
