import { test } from "tap"
import { troubleIn, troubleMessage } from "../../../lib/store/database.ts"
import { isPostgresUrl, shownPlace } from "../../../lib/store/places.ts"

const coded = (code: string, message = "what the server says") => Object.assign(new Error(message), { code })

test("what was not done may be done again, of what is lost nobody knows, the rest is wrong for good", (t) => {
  const passing = ["40001", "40P01", "55P03", "53300", "57P03", "ECONNREFUSED", "ENOENT", "EAI_AGAIN"]
  for (const code of passing) t.equal(troubleIn(coded(code)), "passing", code)
  for (const code of ["57P01", "08006", "ECONNRESET", "EPIPE"]) t.equal(troubleIn(coded(code)), "unknown", code)
  for (const code of ["23505", "42P01", "28P01", "3D000"]) t.equal(troubleIn(coded(code)), "lasting", code)
  t.equal(troubleIn(new Error("Connection terminated unexpectedly")), "unknown")
  t.equal(troubleIn(new Error("timeout exceeded when trying to connect")), "passing")
  t.equal(troubleIn("a text"), "lasting")
  // Of localhost both addresses are tried, and what comes of it has no message.
  const both = new AggregateError([coded("ENETUNREACH"), coded("ECONNREFUSED", "connect ECONNREFUSED 127.0.0.1:1")])
  t.equal(troubleIn(both), "passing")
  t.equal(troubleMessage(both), "connect ECONNREFUSED 127.0.0.1:1")
  t.equal(troubleMessage(new AggregateError([], "said")), "said")
  t.equal(troubleMessage(new AggregateError([])), "undefined")
  t.end()
})

test("a URL is told from a file, and shown without its password", (t) => {
  for (const url of ["postgres://a/b", "postgresql://a/b", "POSTGRES://a"]) t.ok(isPostgresUrl(url), url)
  for (const file of ["/a/state.db", "postgres.db", "C:\\state.db", "sqlite://a"]) t.notOk(isPostgresUrl(file), file)
  const shown: [string, string][] = [
    ["postgres://ann:hidden@host:5432/db?sslmode=require", "postgres://ann:***@host:5432/db?sslmode=require"],
    ["postgres://ann@host/db?password=hidden&host=/tmp", "postgres://ann@host/db?password=***&host=/tmp"],
    ["postgres://host/db", "postgres://host/db"],
    ["/home/ann:b@c/state.db", "/home/ann:b@c/state.db"],
  ]
  for (const [place, wanted] of shown) t.equal(shownPlace(place), wanted)
  t.end()
})
