import assert from "node:assert/strict"
import { test } from "tap"
import { Headers } from "../../../lib/base/headers.ts"
import { Route } from "../../../lib/proxy/upstream/route.ts"

const HERE = "https://api.example.com/v1/chat/completions"

/** As a flow's request: with its URL its path is set. */
function request(from: string) {
  const made = {
    path: "",
    headers: new Headers([["X-Key", "client's"]]),
    to: new URL(from),
    get url() {
      return this.to.href
    },
    set url(value: string) {
      this.to = new URL(value)
      this.path = `${this.to.pathname}${this.to.search}`
    },
  }
  made.url = from
  return made
}

test("what is said later of a route goes beside what was said before, or takes its place", async () => {
  const first = Route.chosen(undefined, { url: "http://one/v1", name: "one", connectTo: "127.0.0.1:81" }, HERE)
  const second = Route.chosen(first, { name: "two", reason: "why", tokens: 7 }, HERE)
  assert.deepEqual(second.routed, { name: "two", reason: "why", tokens: 7, url: "http://one/v1" })
  assert.equal(second.url, "http://one/v1")
  assert.deepEqual(second.connectTo, { host: "127.0.0.1", port: 81 })
  assert.deepEqual(first.routed, { name: "one", reason: undefined, tokens: undefined, url: "http://one/v1" })
})

test("a URL without a path leaves the request its own", async () => {
  const led = (url: string) => {
    const made = request(HERE)
    Route.chosen(undefined, { url }, HERE).direct(made)
    return [made.to.origin, made.path]
  }
  assert.deepEqual(led("http://local:8080"), ["http://local:8080", "/v1/chat/completions"])
  assert.deepEqual(led("http://local:8080/"), ["http://local:8080", "/v1/chat/completions"])
  assert.deepEqual(led("http://local:8080/api/chat"), ["http://local:8080", "/api/chat"])
  assert.deepEqual(led("http://local:8080/?key=1"), ["http://local:8080", "/?key=1"])
  const untouched = request(HERE)
  Route.chosen(undefined, { name: "here" }, HERE).direct(untouched)
  assert.equal(untouched.url, HERE)
})

test("fields of a route leave for the origin that was meant at the call, and for no other", async () => {
  const route = Route.chosen(undefined, { headers: { "X-Key": "route's" } }, HERE)
  const meant = request("https://api.example.com/v2")
  route.setFields(meant)
  assert.equal(meant.headers.get("x-key"), "route's")
  const later = Route.chosen(route, { url: "https://elsewhere.example" }, HERE)
  const other = request("https://elsewhere.example/")
  later.setFields(other)
  assert.equal(other.headers.get("x-key"), "client's")
})

test("what cannot be gone throws at the call, and names it", async () => {
  for (const spec of [{ url: "ftp://host/" }, { url: "no url" }, { url: HERE, connectTo: "host:port:x" }]) {
    const told = (message: RegExp) => ({ name: "TypeError", message })
    assert.throws(() => Route.chosen(undefined, spec, HERE), told(/^flow\.route: /), JSON.stringify(spec))
    assert.throws(() => Route.ofSent(spec), told(/^flow\.send: /), JSON.stringify(spec))
  }
})

test("a sent request's own URL is no route: nobody is told of one, and it stays where it is", async () => {
  const route = Route.ofSent({ url: "http://local:8080/v1", via: "http://proxy:3128" })
  assert.deepEqual([route.routed, route.url, route.via], [undefined, undefined, "http://proxy:3128"])
  assert.deepEqual([route.connectTo, route.ca], [undefined, undefined])
  const known = Route.ofSent({ url: HERE, connectTo: "127.0.0.1:81", ca: "PEM" })
  assert.deepEqual([known.connectTo, known.ca], [{ host: "127.0.0.1", port: 81 }, "PEM"])
  assert.deepEqual(Route.chosen(route, { name: "local" }, HERE).via, "http://proxy:3128")
})

test("a route leaves a connection for another origin, a proxy or another address, not for another path", async () => {
  const leaves = (spec: Parameters<typeof Route.chosen>[1]) => Route.chosen(undefined, spec, HERE).leaves(HERE)
  assert.equal(leaves({ name: "here" }), false)
  assert.equal(leaves({ url: "https://api.example.com/other" }), false)
  assert.equal(leaves({ url: "http://api.example.com/" }), true)
  assert.equal(leaves({ via: "http://proxy:1" }), true)
  assert.equal(leaves({ connectTo: "127.0.0.1:1" }), true)
})
