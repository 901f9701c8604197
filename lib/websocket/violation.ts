/**
 * What breaks the WebSocket protocol: the peer that sent it is told by the close code that RFC 6455 has for it.
 */

/** The code of the Close that answers a violation (RFC 6455, 7.4.1): protocol error, wrong data, message too big. */
export type ViolationCode = 1002 | 1007 | 1009

export class WebSocketViolation extends Error {
  override readonly name = "WebSocketViolation"
  readonly closeCode: ViolationCode

  constructor(message: string, closeCode: ViolationCode = 1002) {
    super(message)
    this.closeCode = closeCode
  }
}
