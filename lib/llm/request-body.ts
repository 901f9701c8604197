/**
 * The body of a request as its bytes and as JSON that addons change. What nobody changed leaves as the bytes that came;
 * what was changed is written in place (spans.ts). Nothing is copied up front: the original is parsed again when the
 * body leaves, which costs less than holding two trees for as long as the addons run.
 */
import { isObject, type JsonObject, parseJson, withoutBom } from "../base/json.ts"
import { deepEqual, editJson, isDeeperThan } from "./spans.ts"

/** Bodies nest at most this deep. No request to a model does; addons that walk a body by recursion must not be ended by one. */
export const BODY_DEPTH_MAX = 1_000

export class RequestBody {
  readonly #bytes: Buffer
  /** The parsed body. Changes to it are found by comparing, however they were made. */
  readonly json: JsonObject

  private constructor(bytes: Buffer, json: JsonObject) {
    this.#bytes = bytes
    this.json = json
  }

  /** Undefined for what is no JSON object in UTF-8, or nests deeper than BODY_DEPTH_MAX. `bytes` must not change afterwards. */
  static parse(bytes: Buffer): RequestBody | undefined {
    const text = bytes.toString("utf8")
    // A server that gets a byte order mark may not read on (RFC 8259, section 8.1: none is to be sent).
    if (withoutBom(text) !== text || isMangled(bytes, text) || isDeeperThan(text, BODY_DEPTH_MAX)) return undefined
    const json = parseJson(text)
    return isObject(json) ? new RequestBody(bytes, json) : undefined
  }

  changed(): boolean {
    return !deepEqual(this.#original(), this.json)
  }

  /** The body as it is to leave: the very bytes that came, if nothing changed. */
  bytes(): Buffer {
    const original = this.#original()
    if (deepEqual(original, this.json)) return this.#bytes
    return Buffer.from(editJson(this.#bytes.toString("utf8"), original, this.json))
  }

  #original(): JsonObject {
    return JSON.parse(this.#bytes.toString("utf8")) as JsonObject
  }
}

/** Whether decoding lost something: invalid UTF-8 became U+FFFD, and would leave as other bytes. */
function isMangled(bytes: Buffer, text: string): boolean {
  return text.includes("\uFFFD") && !Buffer.from(text).equals(bytes)
}
