/**
 * Flags that people bring along: mitmproxy's, and one of Node's. What they are called here, or what does their work.
 */

const OPTIONS: Readonly<Record<string, string>> = {
  "--env-file": "Node takes this flag for itself, and ends where there is no such file; write --dotenv FILE",
  "--listen-port": "write -p PORT",
  "--listen-host": "write --host ADDRESS",
  "--scripts": "write -s ADDON",
  "--ssl-insecure": "write --insecure",
  "--proxyauth": "write --proxy-auth USER:PASS",
  "--tcp-hosts": "write --ignore-hosts RE: what matches is relayed unseen",
  "--upstream-auth": "write the user into the proxy's URL: -m upstream:http://USER:PASS@HOST:PORT",
  "--transparent": "write -m transparent",
  "--socks": "write -m socks5",
  "--reverse": "write -m reverse:URL",
  "--upstream": "write -m upstream:URL",
  "--cadir": "write --confdir DIR",
  "--save-stream-file": "-s history keeps what is said to models; llmproxy history shows and exports it",
  "--rfile": "flows are read from no file; llmproxy history shows what -s history has kept",
  "--client-replay": "there is no replay; llmproxy history show ID has what was asked",
  "--server-replay": "there is no replay; an addon answers in place of a server with flow.respond",
  "--map-remote":
    "an addon sends requests elsewhere with flow.route; for connections write --connect-to HOST:PORT:ADDR:PORT",
  "--map-local": "an addon answers with flow.respond",
  "--modify-body": "an addon changes requests in llmRequest, answers with transformDeltas",
  "--modify-headers": "an addon changes flow.request.headers in requestHeaders",
  "--block-list": "an addon refuses with flow.respond",
  "--intercept": "an addon stops a flow with flow.pause",
  "--view-filter":
    "flows are not filtered; --flow-detail says how much of each is printed, --allow-hosts which hosts are read",
  "--web": "there is no page to look at flows; --flow-detail says how much of each is printed, -s history keeps them",
  "--no-server": "without a proxy there are the commands ca, doctor, env and history",
}

/** Other names of the same. */
const SAME: Readonly<Record<string, string>> = {
  "-w": "--save-stream-file",
  "-r": "--rfile",
  "--read-flows": "--rfile",
  "-k": "--ssl-insecure",
  "-C": "--client-replay",
  "-S": "--server-replay",
  "-M": "--map-remote",
  "-B": "--modify-body",
  "-H": "--modify-headers",
  "-n": "--no-server",
  "-T": "--transparent",
  "-R": "--reverse",
  "-U": "--upstream",
  "--web-port": "--web",
  "--web-host": "--web",
  "--web-open-browser": "--web",
  "--no-web-open-browser": "--web",
}

/** What to do instead of `flag`, as typed with its dashes; undefined: nobody else's flag is known by that name. */
export function foreignFlag(flag: string): string | undefined {
  const name = Object.hasOwn(SAME, flag) ? SAME[flag] : flag
  return name !== undefined && Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined
}
