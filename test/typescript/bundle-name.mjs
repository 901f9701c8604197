/** Where the text of an addon's bundle is kept while coverage is measured: two of one addon differ in length, or are the same. */
import { basename } from "node:path"

export const bundleName = (file, length) => `${basename(file)}-${length}.bundle`
