/** Where node-llama-cpp is looked for, and how it is installed. */
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { test } from "tap"
import { findLlama, llamaInstall } from "../../lib/services/llama-package.ts"

const makePackage = () => ({ "package.json": '{"name":"node-llama-cpp","exports":"./index.js"}', "index.js": "" })

test("it is looked for beside the program, then in the user's folder; where one is named, there alone", async (t) => {
  const root = t.testdir({
    beside: { node_modules: { "node-llama-cpp": makePackage() } },
    home: { ".llmproxy": { "node-llama-cpp": { node_modules: { "node-llama-cpp": makePackage() } } } },
    none: {},
    broken: { node_modules: { "node-llama-cpp": { "package.json": '{"exports":"./gone.js"' } } },
  })
  const home = join(root, "home")
  const own = join(home, ".llmproxy", "node-llama-cpp")
  const from = (folder: string) => pathToFileURL(join(root, folder, "module.js")).href
  const urlIn = (folder: string) => pathToFileURL(join(folder, "node_modules", "node-llama-cpp", "index.js")).href
  t.same(findLlama(undefined, { home, from: from("beside") }), { folder: own, url: urlIn(join(root, "beside")) })
  t.same(findLlama(undefined, { home, from: from("none") }), { folder: own, url: urlIn(own) })
  t.same(findLlama(undefined, { home: join(root, "none"), from: from("none") }).url, undefined)
  t.same(findLlama(join(root, "beside")), { folder: join(root, "beside"), url: urlIn(join(root, "beside")) })
  for (const folder of ["none", "broken"]) t.equal(findLlama(join(root, folder)).url, undefined, folder)
})

test("one command installs it for this machine, without graphics cards", async (t) => {
  t.equal(
    llamaInstall("/home/ann/x", "linux", "x64"),
    "npm install --prefix /home/ann/x --omit=optional --ignore-scripts node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1",
  )
  t.match(llamaInstall("/my folder", "darwin", "arm64"), /--prefix "\/my folder" .*mac-arm64-metal@3\.22\.1$/)
  t.match(llamaInstall("/x", "sunos", "x64"), /node-llama-cpp@3\.22\.1$/)
})
