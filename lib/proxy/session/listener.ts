/**
 * Opens a port, and keeps who comes until somebody serves them. The code that serves is most of the program: with the
 * port open first, it is loaded while the first client is on its way. What is said there is server.ts's affair.
 */
import { createServer, type Server, type Socket } from "node:net"
import { StartError, systemCodeOf } from "../../base/errors.ts"
import type { Logger } from "../../base/log.ts"
import { hostAndPort } from "../io/authority.ts"

const NO_ADDRESS = "this machine has no such address; choose another with --host"
const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "the port is in use; choose another with -p PORT, or stop what uses it",
  EACCES: "not permitted; ports below 1024 need rights, choose another with -p",
  EADDRNOTAVAIL: NO_ADDRESS,
  ENOTFOUND: NO_ADDRESS,
}

export interface ListenAddress {
  readonly host: string
  readonly port: number
}

export class Listener {
  readonly #server: Server
  readonly #log: Logger
  readonly #waiting: Socket[] = []
  #accept: (socket: Socket) => void = (socket) => this.#keep(socket)
  #address: ListenAddress | undefined

  constructor(log: Logger) {
    this.#log = log
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
  }

  /** Where it listens; to be asked once it does. */
  get address(): ListenAddress {
    if (this.#address === undefined) throw new Error("the listener has no address before it listens")
    return this.#address
  }

  /** Resolves with the address and port. Rejects with a StartError of one line. Port 0: a free one. */
  listen(host: string, port: number): Promise<ListenAddress> {
    const server = this.#server
    return new Promise((resolve, reject) => {
      server.once("error", (thrown) => reject(explainListen(host, port, thrown)))
      server.listen(port, host, () => {
        const address = server.address()
        if (address === null || typeof address === "string") return
        server.on("error", (thrown) => this.#log.error(`listener: ${thrown.message}`))
        this.#address = { host: address.address, port: address.port }
        resolve(this.#address)
      })
    })
  }

  /** From now on clients are for `accept`, those who have waited first. */
  serve(accept: (socket: Socket) => void): void {
    this.#accept = accept
    for (const socket of this.#waiting.splice(0)) if (!socket.destroyed) accept(socket)
  }

  /** Takes no more clients. */
  close(): void {
    this.#server.close()
    for (const socket of this.#waiting.splice(0)) socket.destroy()
  }

  #keep(socket: Socket): void {
    socket.on("error", () => {}) // A client that resets meanwhile is gone; nothing has been promised to it.
    this.#waiting.push(socket)
  }
}

function explainListen(host: string, port: number, thrown: Error): StartError {
  const why = REASONS[systemCodeOf(thrown) ?? ""] ?? thrown.message
  return new StartError(`listen on ${hostAndPort(host, port)}: ${why}`)
}
