/** Goes on with what is there already, or will be: no promise is made for what nobody has to wait for. Pure. */
export function then<T, R>(value: T | Promise<T>, next: (value: T) => R | Promise<R>): R | Promise<R> {
  return value instanceof Promise ? value.then(next) : next(value)
}
