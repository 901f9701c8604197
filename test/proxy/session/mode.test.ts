/** The grammar of --mode: what each spec means, what is refused with which advice, and who may listen beside whom. */
import { test } from "tap"
import { modeAddresses, parseMode } from "../../../lib/proxy/session/mode.ts"

const reverse = (scheme: "http" | "https", host: string, port: number, base = "/") => ({
  kind: "reverse",
  to: { scheme, host, port, base },
})
const upstream = (via: string) => ({ kind: "upstream", via })

const SPECS: readonly (readonly [string, object, (string | undefined)?, number?])[] = [
  ["regular", { kind: "regular" }],
  ["regular@8081", { kind: "regular" }, undefined, 8081],
  ["regular@0", { kind: "regular" }, undefined, 0],
  ["socks5@127.0.0.2:1080", { kind: "socks5" }, "127.0.0.2", 1080],
  ["transparent@[::1]:9", { kind: "transparent" }, "::1", 9],
  ["socks5@[::ffff:127.0.0.1]:9", { kind: "socks5" }, "127.0.0.1", 9],
  ["socks5@0.0.0.0:1080", { kind: "socks5" }, "0.0.0.0", 1080],
  ["reverse:https://API.openai.com", reverse("https", "api.openai.com", 443)],
  ["reverse:http://h:81/v1/", reverse("http", "h", 81, "/v1/")],
  ["reverse:http://[::1]:81@[::1]:82", reverse("http", "::1", 81), "::1", 82],
  ["reverse:https://h/a@b@8081", reverse("https", "h", 443, "/a@b"), undefined, 8081],
  ["upstream:http://proxy:3128", upstream("http://proxy:3128")],
  ["upstream:https://proxy", upstream("https://proxy")],
  ["upstream:socks5h://[::1]:1080@8081", upstream("socks5h://[::1]:1080"), undefined, 8081],
  ["upstream:http://proxy:3128@8081", upstream("http://proxy:3128"), undefined, 8081],
  ["upstream:http://proxy:3128@127.0.0.1:8081", upstream("http://proxy:3128"), "127.0.0.1", 8081],
  ["upstream:http://proxy/@127.0.0.1:8081", upstream("http://proxy/"), "127.0.0.1", 8081],
  ["upstream:http://me:secret@proxy:3128", upstream("http://me:secret@proxy:3128")],
  ["upstream:http://me:secret@proxy:3128@8081", upstream("http://me:secret@proxy:3128"), undefined, 8081],
  ["upstream:http://me:secret@proxy:3128@[::1]:8081", upstream("http://me:secret@proxy:3128"), "::1", 8081],
  ["upstream:http://me:1234@proxy:3128/", upstream("http://me:1234@proxy:3128/")],
  ["upstream:http://token@proxy:3128", upstream("http://token@proxy:3128")],
  ["upstream:http://me:se@cret@proxy:3128", upstream("http://me:se@cret@proxy:3128")],
]

test("a spec is a mode, its data, and where to listen", async (t) => {
  for (const [text, mode, host, port] of SPECS) {
    const spec = parseMode(text)
    t.strictSame({ mode: spec.mode, host: spec.host, port: spec.port }, { mode, host, port }, text)
    t.notMatch(spec.text, /secret|cret|1234|token/, "credentials are for nobody's eyes")
  }
  t.equal(parseMode("upstream:http://me:secret@proxy:3128@8081").text, "upstream:http://proxy:3128")
  t.equal(parseMode("reverse:https://h/base@8081").text, "reverse:https://h/base")
})

const REFUSED: readonly (readonly [string, string])[] = [
  ["", "--mode : there is no such mode; there are regular, reverse:URL, upstream:URL, socks5 and transparent"],
  [
    "sock5",
    "--mode sock5: there is no such mode; there are regular, reverse:URL, upstream:URL, socks5 and transparent",
  ],
  ["Regular", "--mode Regular: there is no such mode"],
  ["regular:x", "--mode regular: nothing stands behind it but where to listen, as in regular@8081"],
  ["socks5@", "--mode socks5: behind the last @ stands where to listen: write @PORT or @HOST:PORT, as in @8081"],
  ["socks5@host", "--mode socks5: behind the last @"],
  ["socks5@65536", "--mode socks5: behind the last @"],
  ["socks5@::1:1080", "--mode socks5: behind the last @"],
  ["socks5@:1080", '--mode socks5: @:1080: "" is no address to listen on; 0.0.0.0 means all of them'],
  ["socks5@[::g]:1080", "--mode socks5: behind the last @"],
  ["socks5@a_:..:1080", "--mode socks5: behind the last @"],
  ["socks5@-:1080", "--mode socks5: @-:1080: - is no address to listen on"],
  ["reverse", "--mode reverse: the upstream is missing, write reverse:https://HOST[:PORT]"],
  [
    "reverse:api.openai.com",
    "--mode reverse:api.openai.com: the upstream needs a scheme, for example reverse:https://api.openai.com",
  ],
  ["reverse:me:secret@h@80", "--mode reverse:...: the upstream needs a scheme, for example reverse:https://HOST"],
  ["reverse:ftp://h", "--mode reverse: the upstream's scheme is http or https"],
  ["reverse:http://", "--mode reverse: this is no URL of a server"],
  ["reverse:http://h:0", "--mode reverse: this is no URL of a server"],
  ["reverse:http://a..b", "--mode reverse: this is no URL of a server"],
  ["reverse:https://me:secret@h@80", "--mode reverse: a URL here has no user and password"],
  ["reverse:https://h/?a=1", "--mode reverse:https://h: write no ? and no # behind the base path"],
  ["upstream", "--mode upstream: the proxy is missing, write upstream:http://HOST:PORT"],
  [
    "upstream:proxy:3128",
    "--mode upstream:proxy:3128: this is no proxy, write http://, https:// or socks5://[user:password@]host:port",
  ],
  ["upstream:socks4://proxy", "--mode upstream:socks4://proxy: this is no proxy"],
  ["upstream:ftp://me:secret@h", "--mode upstream:...: this is no proxy"],
  ["upstream:http://h/path", "--mode upstream:http://h/path: this is no proxy"],
]

test("a spec that means nothing is refused with what to write, and never shows a password", async (t) => {
  for (const [text, message] of REFUSED) {
    let said = ""
    try {
      parseMode(text)
    } catch (thrown) {
      said = thrown instanceof Error && thrown.name === "UsageError" ? thrown.message : String(thrown)
    }
    t.ok(said.startsWith(message), `${text}: ${said}`)
    t.notMatch(said, "secret")
  }
})

test("a mode listens where its spec says, else where -p and --host say; without specs there is one, regular", async (t) => {
  const usual = { host: "127.0.0.1", port: 8080 }
  t.strictSame(modeAddresses([], usual), [{ mode: { kind: "regular" }, text: "regular", ...usual }])
  t.strictSame(modeAddresses(["regular", "socks5@1080", "transparent@0.0.0.0:8081"].map(parseMode), usual), [
    { mode: { kind: "regular" }, text: "regular", host: "127.0.0.1", port: 8080 },
    { mode: { kind: "socks5" }, text: "socks5", host: "127.0.0.1", port: 1080 },
    { mode: { kind: "transparent" }, text: "transparent", host: "0.0.0.0", port: 8081 },
  ])
  const free = modeAddresses(["regular@0", "socks5@0"].map(parseMode), usual)
  t.equal(free.length, 2, "the system chooses a free port for each")
})

test("two modes that would share an address are refused before anything listens", async (t) => {
  const usual = { host: "127.0.0.1", port: 8080 }
  const message =
    "--mode regular and --mode socks5 would both listen on 127.0.0.1:8080; " +
    "give one of them a port of its own by adding @PORT, as in socks5@1080"
  t.throws(() => modeAddresses(["regular", "socks5"].map(parseMode), usual), { name: "UsageError", message })
  for (const [one, other] of [
    ["regular@0.0.0.0:8080", "socks5"],
    ["regular", "socks5@[::]:8080"],
    ["regular@[::1]:1", "socks5@[0:0::1]:1"],
    ["upstream:http://me:secret@p:1", "socks5"],
  ] as const)
    t.throws(() => modeAddresses([one, other].map(parseMode), usual), /^(?!.*secret).*would both listen on/, one)
  t.equal(modeAddresses(["regular", "socks5@127.0.0.2:8080"].map(parseMode), usual).length, 2)
})
