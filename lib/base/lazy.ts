/** Something that is loaded with its first use, and closed where it was. */
export class Lazy<T extends { close(): Promise<void> }> {
  readonly #load: () => Promise<T>
  loaded: T | undefined
  #loading: Promise<T> | undefined
  #isClosed = false

  constructor(load: () => Promise<T>) {
    this.#load = load
  }

  get isWanted(): boolean {
    return this.#loading !== undefined
  }

  get(): Promise<T> {
    this.#loading ??= this.#loaded()
    return this.#loading
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#loading?.catch(() => {}) // Said where it failed.
    await this.loaded?.close()
  }

  async #loaded(): Promise<T> {
    try {
      const made = await this.#load()
      this.loaded = made
      if (this.#isClosed) await made.close()
      return made
    } catch (thrown) {
      this.#loading = undefined // The next one tries again.
      throw thrown
    }
  }
}
