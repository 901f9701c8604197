/** The core that is held against its mutants, each file with the tests that are to notice them: quick ones. */
export const FILES = {
  "lib/base/pieces.ts": ["test/base/pieces.test.ts"],
  "lib/http1/chunked.ts": ["test/http1/chunked.test.ts"],
  "lib/http1/fields.ts": ["test/http1/fields.test.ts", "test/http1/framing.test.ts", "test/http1/head.test.ts"],
  "lib/http1/framing.ts": ["test/http1/framing.test.ts", "test/http1/head.test.ts", "test/http1/chunked.test.ts"],
  "lib/http1/head.ts": ["test/http1/head.test.ts", "test/http1/fields.test.ts"],
  "lib/llm/framing/framing.ts": ["test/llm/framing/framing.test.ts"],
  "lib/llm/framing/ndjson.ts": ["test/llm/framing/ndjson.test.ts"],
  "lib/proxy/access/rules.ts": ["test/proxy/access/rules.test.ts"],
  "lib/proxy/flow/life.ts": ["test/proxy/flow/life.test.ts"],
  "lib/proxy/io/authority.ts": ["test/proxy/io/authority.test.ts"],
  "lib/proxy/io/body-queue.ts": ["test/proxy/io/body-queue.test.ts"],
  "lib/proxy/upstream/route.ts": ["test/proxy/upstream/route.test.ts"],
  "lib/store/retry.ts": ["test/store/retry.test.ts"],
  "lib/websocket/close.ts": ["test/websocket/close.test.ts"],
  "lib/websocket/frame-parser.ts": ["test/websocket/frame-parser.test.ts"],
  "lib/websocket/frame.ts": ["test/websocket/frame-parser.test.ts"],
}
