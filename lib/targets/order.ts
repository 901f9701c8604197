/**
 * In which order targets are tried: as they are listed, or by weight; those that are left alone now come last. Pure, but for
 * the chance that it is given.
 */
import type { Standing } from "./health.ts"
import type { Target } from "./target.ts"

/** `listed`: the first is the best. `weighted`: each comes first as often as its weight says, the others behind it likewise. */
export type Order = "listed" | "weighted"

/** `standing`: why a target is to be left alone, if it is. `random`: a number of [0, 1). */
export function inOrder(
  targets: readonly Target[],
  order: Order,
  standing: (target: Target) => Standing | undefined,
  random: () => number,
): readonly Target[] {
  if (targets.length < 2) return targets
  const well: Target[] = []
  const resting: { target: Target; ms: number }[] = []
  for (const target of targets) {
    const rest = standing(target)
    if (rest === undefined) well.push(target)
    else resting.push({ target, ms: rest.ms })
  }
  // Whoever may be well soonest first: sort is stable, so that equals stay as they are listed.
  resting.sort((one, other) => one.ms - other.ms)
  return [...(order === "listed" ? well : byWeight(well, random)), ...resting.map(({ target }) => target)]
}

function byWeight(targets: readonly Target[], random: () => number): Target[] {
  const left = [...targets]
  const drawn: Target[] = []
  while (left.length > 0) {
    const sum = left.reduce((all, target) => all + weightOf(target), 0)
    let at = random() * sum
    const found = left.findIndex((target) => {
      at -= weightOf(target)
      return at < 0
    })
    drawn.push(...left.splice(Math.max(0, found), 1))
  }
  return drawn
}

/** A weight that is no number above 0 counts as 0. */
function weightOf({ weight = 1 }: Target): number {
  return weight > 0 && Number.isFinite(weight) ? weight : 0
}
