/**
 * Test files that take long: fuzzing, long tables, every client. `npm run test:all` runs them, `npm test` does not.
 * Plain JavaScript, as run.mjs is.
 */
export const LONG = []
