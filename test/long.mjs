/**
 * Test files that take long: fuzzing, long tables, every client. `npm run test:all` runs them, `npm test` does not.
 * Plain JavaScript, as run.mjs is.
 */

/** The modes but the regular one: the same exchanges over each. */
const MODES = [
  "base-url",
  "direct",
  "reverse-clear",
  "reverse-tls",
  "socks5",
  "transparent",
  "upstream-http",
  "upstream-socks5",
]

/** Clients and programs in processes of their own. */
const CLIENTS = [
  "addon-command",
  "chromium",
  "clients-curl",
  "clients-git",
  "clients-modes",
  "clients-node-20",
  "clients-npm",
  "clients-openai-node",
  "clients-openai-websocket",
  "clients-python",
  "clients-run",
  "clients-sse",
  "clients-table-agents",
  "clients-table-curl",
  "clients-table-node",
  "clients-table-python",
  "addon-tests",
  "installed",
  "local-servers",
  "modes-git-npm",
  "package",
  "transparent",
]

export const LONG = [
  "test/addons/conductor/proxied/recorded.test.ts",
  "test/addons/labels.test.ts",
  "test/addons/requery/empty.test.ts",
  "test/base/secrets/outputs.test.ts",
  "test/base/text-growth.test.ts",
  "test/docs-commands.test.ts",
  "test/growth.test.ts",
  "test/http1/differential.test.ts",
  ...MODES.map((name) => `test/conformance/${name}.test.ts`),
  "test/e2e/gateway/clients.test.ts",
  "test/e2e/gateway/many.test.ts",
  ...CLIENTS.map((name) => `test/e2e/${name}.test.ts`),
]
