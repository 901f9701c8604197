/**
 * Where llmproxy's own code lies: lib/ of the source, or that of dist/, where all of it but a few entries is in chunks.
 */
import { fileURLToPath } from "node:url"

/** Absolute, with a separator at its end. */
export const OWN_FOLDER = fileURLToPath(new URL("../", import.meta.url))
