/** `llmproxy models`. */
import { type AddonContext, type CommandContext, UsageError } from "llmproxy"

export function declareCommand({ command }: Pick<AddonContext, "command">): void {
  command({
    name: "models",
    help: "read another gateway's config file as routes",
    operands: "import FILE",
    run: (context) => run(context),
  })
}

async function run({ operands }: CommandContext): Promise<number> {
  const [verb, file] = operands
  if (verb !== "import" || file === undefined || operands.length !== 2)
    throw new UsageError("llmproxy models: write llmproxy models import FILE")
  return 0
}
