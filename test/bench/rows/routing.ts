import type { Row } from "../table.ts"
import type { Bench } from "../world.ts"
export async function routingRows(_bench: Bench): Promise<Row[]> {
  return []
}
