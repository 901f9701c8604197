/**
 * What Sec-WebSocket-Extensions of a 101 agrees to (RFC 7692, 7.1).
 */
import { test } from "tap"
import { readExtensions } from "../../lib/websocket/extensions.ts"

const DEFAULTS = {
  clientNoContextTakeover: false,
  serverNoContextTakeover: false,
  clientMaxWindowBits: 15,
  serverMaxWindowBits: 15,
}

test("no extension, and permessage-deflate with each of its parameters", async (t) => {
  for (const value of [undefined, "", " "]) t.same(readExtensions(value), { deflate: undefined, unknown: undefined })
  t.same(readExtensions("permessage-deflate").deflate, DEFAULTS)
  t.same(
    readExtensions(
      'Permessage-Deflate; client_no_context_takeover ;server_no_context_takeover; client_max_window_bits=8; server_max_window_bits="12"',
    ).deflate,
    { clientNoContextTakeover: true, serverNoContextTakeover: true, clientMaxWindowBits: 8, serverMaxWindowBits: 12 },
  )
})

test("what is not known, or not as it has to be, is named as unknown", async (t) => {
  for (const value of [
    "x-webkit-deflate-frame",
    "permessage-deflate, permessage-deflate",
    "permessage-bzip2, permessage-deflate",
    "permessage-deflate; dictionary=1",
    "permessage-deflate; client_no_context_takeover=1",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits=16",
    "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
  ])
    t.same(readExtensions(value), { deflate: undefined, unknown: value })
})
