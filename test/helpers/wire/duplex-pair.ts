/**
 * Two ends of one connection in memory, each a Duplex: what is written to one is read from the other.
 */
import { Duplex } from "node:stream"

class End extends Duplex {
  other: End | undefined
  #wanted: (() => void) | undefined

  override _read(): void {
    const wanted = this.#wanted
    this.#wanted = undefined
    wanted?.()
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const { other } = this
    if (other === undefined || other.push(chunk)) done()
    else other.#wanted = done
  }

  override _final(done: () => void): void {
    this.other?.push(null)
    done()
  }
}

export function duplexPair(): [Duplex, Duplex] {
  const [near, far] = [new End(), new End()]
  near.other = far
  far.other = near
  return [near, far]
}
