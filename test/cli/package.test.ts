/** Where the package's own files are found. */
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { test } from "tap"
import { addonPlaces, ownModule, shippedAddon, version } from "../../lib/cli/package.ts"

test("the version is the package's", async (t) => {
  t.equal(version(), JSON.parse(readFileSync("package.json", "utf8")).version)
})

test("addons are looked for in the current folder, the config file's and the package's; bare names among the shipped", async (t) => {
  const places = addonPlaces("/work", "/home/me/.llmproxy/config.yaml")
  t.strictSame(places, { folders: ["/work", "/home/me/.llmproxy", resolve(".")], shipped: resolve("addons") })
  t.equal(shippedAddon("hello", places), resolve("addons/hello.ts"))
  t.equal(shippedAddon("no-such-addon", places), undefined)
  t.equal(shippedAddon("../addons/hello", places), undefined, "no path is a bare name")
  t.equal(shippedAddon("hello", { folders: [], shipped: undefined }), undefined)
})

test("a module of the build that runs is the source's, or that of dist", (t) => {
  t.match(ownModule("lib/cli/demo/proxy").href, /\/lib\/cli\/demo\/proxy\.ts$/)
  t.match(ownModule("lib/cli/demo/proxy", true).href, /\/dist\/lib\/cli\/demo\/proxy\.js$/)
  t.equal(addonPlaces("/work", "/conf/config.yaml").compiled, undefined)
  t.match(addonPlaces("/work", "/conf/config.yaml", true).compiled, /\bdist.addons$/)
  t.end()
})
