import { test } from "tap"
import { localBase } from "../../../addons/conductor/options.ts"

const base = (localUrl?: string, localHost?: string, localPort?: number) =>
  localBase({ localUrl, localHost, localPort })

test("the local host's URL is the same with and without /v1 and slashes", (t) => {
  for (const text of ["http://h:5/v1", "http://h:5/v1/", "http://h:5", "http://h:5/", "http://h:5//"])
    t.equal(base(text), "http://h:5", text)
  t.equal(base("https://h/api/v1"), "https://h/api")
  t.equal(base("http://h/v1beta"), "http://h/v1beta")
  t.end()
})

test("LOCAL_LLM_HOST and LOCAL_LLM_PORT make the URL where there is no localUrl", (t) => {
  t.equal(base(), "http://127.0.0.1:1234", "LM Studio's")
  t.equal(base(undefined, "192.168.1.254", 2345), "http://192.168.1.254:2345")
  t.equal(base(undefined, undefined, 2345), "http://127.0.0.1:2345")
  t.equal(base(undefined, "studio"), "http://studio:1234")
  t.equal(base(undefined, "studio:80"), "http://studio", "a port in the name counts")
  t.equal(base(undefined, "studio:80", 81), "http://studio:81")
  t.equal(base(undefined, "http://studio/v1", 5), "http://studio:5")
  t.equal(base(undefined, "http://studio"), "http://studio:1234")
  t.equal(base(undefined, "::1", 5), "http://[::1]:5")
  t.equal(base(undefined, "[::1]:6"), "http://[::1]:6")
  t.equal(base("http://a:1", "b", 2), "http://a:1", "localUrl wins")
  t.end()
})

test("what is no URL is refused with an example", (t) => {
  t.throws(() => base("localhost:1234"), {
    message: /^conductor\.localUrl localhost:1234: write a URL, for example http/,
  })
  t.throws(() => base("ftp://h"), { message: /conductor\.localUrl/ })
  t.throws(() => base(undefined, "a b"), { message: /conductor\.localHost/ })
  t.end()
})
