/**
 * A client of streamed answers that sees them read by read: which events each read of its socket completed. It comes
 * to the proxy by interception, with our CA as its only root, or by the base URL.
 */
import { ResponseParser } from "../../../lib/http1/parser.ts"
import { CLOUD_NAME } from "../hosts/chat-hosts.ts"
import { Wire } from "../wire/wire.ts"
import type { Way } from "./chat-clients.ts"

export interface SsePlace {
  readonly port: number
  /** The proxy's CA, PEM. */
  readonly ca: string
  readonly way: Way
}

export class SseClient {
  /** Called for each read that completed events, with their texts; comments are left out. */
  onEvents: (events: readonly string[]) => void = () => {}
  /** Resolves to the status when the answer has ended as it should; rejects when it is cut. */
  readonly answer: Promise<number>
  readonly #wire: Wire

  private constructor(wire: Wire) {
    this.#wire = wire
    this.answer = this.#read()
    this.answer.catch(() => {}) // For who waits for it.
  }

  static async connect({ port, ca, way }: SsePlace): Promise<SseClient> {
    if (way === "base URL") return new SseClient(await Wire.connect(port))
    const tunnel = await Wire.tunnel(port, `${CLOUD_NAME}:443`)
    return new SseClient(await tunnel.secure({ servername: CLOUD_NAME, ca }))
  }

  /** Asks for a streamed chat. */
  ask(prompt: string): void {
    const messages = [{ role: "user", content: prompt }]
    const body = JSON.stringify({ model: "gpt-4o", stream: true, messages })
    const fields = `Host: ${CLOUD_NAME}\r\nAuthorization: Bearer sk-test-0123456789\r\nContent-Type: application/json`
    const host = this.#wire.socket.remotePort
    const lines = this.#isTls ? fields : fields.replace(CLOUD_NAME, `127.0.0.1:${host}`)
    this.#wire.write(`POST /v1/chat/completions HTTP/1.1\r\n${lines}\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  }

  leave(): void {
    this.#wire.socket.destroy()
  }

  get #isTls(): boolean {
    return "encrypted" in this.#wire.socket
  }

  #read(): Promise<number> {
    const parser = new ResponseParser()
    parser.expect("POST")
    let status = 0
    let text = ""
    const { socket } = this.#wire
    return new Promise((resolve, reject) => {
      socket.on("data", (bytes: Buffer) => {
        parser.feed(bytes)
        for (let event = parser.next(); event !== undefined; event = parser.next()) {
          if (event.type === "head") status = event.head.status
          else if (event.type === "data") text += event.bytes.toString("latin1")
          else if (event.type === "end") resolve(status)
        }
        const blocks = text.split("\n\n")
        text = blocks.pop() ?? ""
        const events = blocks.filter((block) => block.startsWith("data: "))
        if (events.length > 0) this.onEvents(events)
      })
      socket.once("close", () => reject(new Error(`closed after status ${status}`)))
    })
  }
}

/** What the client tells the host beside the proxy: how many events it has. */
export class Reports {
  #count = 0
  #wake: (() => void)[] = []

  seen(count: number): void {
    this.#count = count
    for (const wake of this.#wake.splice(0)) wake()
  }

  /** Resolves when the event with this index has been seen. */
  async of(index: number): Promise<void> {
    while (this.#count <= index) await new Promise<void>((resolve) => this.#wake.push(resolve))
  }
}
