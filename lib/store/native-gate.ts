/**
 * Keeps the store's thread from being ended within SQLite. The packaged SQLite throws a C++ error that nobody can catch
 * when its thread ends during a call, and takes the whole process with it (SIGABRT). So the thread says when it is inside,
 * and who wants to end it, or the process, waits until it is outside, where it then stays.
 */
import { type Connection, type Connector, connectorIn, type SqliteSources, type Statement } from "./sqlite.ts"

/** What `INSIDE` and `SHUT` hold: 0 or 1. */
const INSIDE = 0
const SHUT = 1
const CELLS = 2

/** Both sides have one over the same memory. */
export class NativeGate {
  readonly memory: SharedArrayBuffer
  readonly #cells: Int32Array
  #depth = 0

  constructor(memory = new SharedArrayBuffer(CELLS * Int32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory
    this.#cells = new Int32Array(memory)
  }

  /** The thread's side: does `work` inside. Never returns once the gate is shut: the thread waits for its end. */
  run<T>(work: () => T): T {
    if (this.#depth === 0) this.#enter()
    this.#depth += 1
    try {
      return work()
    } finally {
      this.#depth -= 1
      if (this.#depth === 0) this.#leave()
    }
  }

  /** The other side: stands still, at most `ms`, until the thread is outside for good. False: it is still inside. */
  shutNow(ms: number): boolean {
    Atomics.store(this.#cells, SHUT, 1)
    return Atomics.wait(this.#cells, INSIDE, 1, ms) !== "timed-out"
  }

  /** The same, and everything else goes on meanwhile. */
  async shut(ms: number): Promise<boolean> {
    Atomics.store(this.#cells, SHUT, 1)
    const { value } = Atomics.waitAsync(this.#cells, INSIDE, 1, ms)
    return (await value) !== "timed-out"
  }

  /** The other side, once the thread has ended: wherever it died, it is inside no more. */
  ended(): void {
    this.#leave()
  }

  #enter(): void {
    // Said before it is asked: whoever shuts the gate meanwhile sees one of the two.
    Atomics.store(this.#cells, INSIDE, 1)
    if (Atomics.load(this.#cells, SHUT) === 0) return
    this.#leave()
    Atomics.wait(this.#cells, SHUT, 1)
  }

  #leave(): void {
    Atomics.store(this.#cells, INSIDE, 0)
    Atomics.notify(this.#cells, INSIDE)
  }
}

/** The same SQLite, entered through the gate alone; loading it counts. */
export function gated({ nodeVersion, load }: SqliteSources, gate: NativeGate): SqliteSources {
  return {
    nodeVersion,
    load(module) {
      const found = gate.run(() => connectorIn(() => load(module)))
      if (typeof found === "string") throw new Error(found)
      return { DatabaseSync: gatedConnector(found, gate) }
    },
  }
}

function gatedConnector(Inner: Connector, gate: NativeGate): Connector {
  return class implements Connection {
    readonly #connection: Connection

    constructor(...given: ConstructorParameters<Connector>) {
      this.#connection = gate.run(() => new Inner(...given))
    }

    prepare(sql: string): Statement {
      const statement = gate.run(() => this.#connection.prepare(sql))
      return gatedStatement(statement, gate)
    }

    exec(sql: string): void {
      gate.run(() => this.#connection.exec(sql))
    }

    close(): void {
      gate.run(() => this.#connection.close())
    }
  }
}

function gatedStatement(statement: Statement, gate: NativeGate): Statement {
  return {
    all: (...parameters) => gate.run(() => statement.all(...parameters)),
    run: (...parameters) => gate.run(() => statement.run(...parameters)),
    columns: () => gate.run(() => statement.columns()),
    *iterate(...parameters) {
      const rows = gate.run(() => statement.iterate(...parameters))
      for (let next = gate.run(() => rows.next()); next.done !== true; next = gate.run(() => rows.next()))
        yield next.value
    },
  }
}
