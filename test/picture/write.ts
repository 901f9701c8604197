/** `npm run picture`: records the picture of README anew. */
import { writeFile } from "node:fs/promises"
import { COLUMNS, PICTURE, recording } from "./record.ts"
import { svgOf } from "./svg.ts"

await writeFile(PICTURE, svgOf(await recording(), COLUMNS))
process.stdout.write(`${PICTURE} is written\n`)
