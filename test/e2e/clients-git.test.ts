/**
 * git over HTTPS through `llmproxy run` and the conductor: a client with its own HTTP library (libcurl), bodies
 * of no LLM, requests that come gzipped or chunked and answers that are streamed. What is cloned is what was served.
 */
import { createHash, randomBytes } from "node:crypto"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { test } from "tap"
import { exitsWith, missing, runThrough } from "../helpers/command-process.ts"
import { startChatHosts, toPort } from "../helpers/hosts/chat-hosts.ts"
import { GIT_NAME, git, startGitHost } from "../helpers/hosts/git-host.ts"

/** Bytes of a file that git cannot compress: the pack takes many writes. */
const LARGE_BYTES = 3_000_000
/** Commits, so that a fetch has something to tell of what it has. */
const COMMITS = 8

test("git clone, push and fetch over HTTPS, unchanged, bring every object as it was", {
  skip: missing("git"),
}, async (t) => {
  const { folder, flags } = await startChatHosts(t)
  const work = join(folder, "work")
  const root = join(folder, "served")
  await mkdir(work)
  await mkdir(root)
  await git(work, "init", "-q", "-b", "main")
  const large = randomBytes(LARGE_BYTES)
  await writeFile(join(work, "large.bin"), large)
  for (let i = 0; i < COMMITS; i++) await commit(work, `text ${i}`)
  await git(root, "clone", "-q", "--bare", work, "project.git")
  await git(join(root, "project.git"), "config", "http.receivepack", "true")
  const host = await startGitHost(t, root)
  const all = [...flags, ...toPort(GIT_NAME, host.port)]

  const url = `https://${GIT_NAME}/project.git`
  const cloned = await runThrough(t, all, ["git", "clone", "-q", url, "copy"], { folder })
  exitsWith(t, 0, cloned)
  const copy = join(folder, "copy")
  t.equal(await git(copy, "rev-parse", "HEAD"), await git(work, "rev-parse", "HEAD"))
  t.equal(hash(await readFile(join(copy, "large.bin"))), hash(large))
  t.equal(await git(copy, "fsck", "--full"), "")
  t.match(cloned.stderr, / {2}GET git\.test\/project\.git\/info\/refs {2}200 /m, "it came through the proxy")
  t.match(cloned.stderr, / {2}POST git\.test\/project\.git\/git-upload-pack {2}200 /m)
  t.ok(host.requests.length >= 2)

  await writeFile(join(work, "other.bin"), randomBytes(LARGE_BYTES))
  await commit(work, "one more")
  const pushed = await runThrough(t, all, ["git", "-C", "work", "push", "-q", url, "main"], { folder })
  exitsWith(t, 0, pushed)
  t.equal(await git(join(root, "project.git"), "rev-parse", "main"), await git(work, "rev-parse", "HEAD"))

  const fetched = await runThrough(t, all, ["git", "-C", "copy", "pull", "-q", "--ff-only"], { folder })
  exitsWith(t, 0, fetched)
  t.equal(await git(copy, "rev-parse", "HEAD"), await git(work, "rev-parse", "HEAD"))
  t.equal(await readFile(join(copy, "text"), "utf8"), "one more")
})

async function commit(work: string, text: string): Promise<void> {
  await writeFile(join(work, "text"), text)
  await git(work, "add", ".")
  await git(work, "commit", "-q", "-m", text)
}

function hash(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex")
}
