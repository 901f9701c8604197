/**
 * The page's HTML, style and script. No framework, nothing from elsewhere; what is not ours to write is escaped. The
 * policy allows this style and this script by their hashes and no others.
 */
import { createHash } from "node:crypto"
import { renderSVG } from "uqr"
import { clientGuides, type Guide, platformGuides } from "./steps.ts"

export interface PageFacts {
  /** The proxy's URL as this client can reach it. */
  readonly proxy: string
  /** The page's URL for a device in the same network; undefined: only this machine can reach the proxy. */
  readonly deviceUrl: string | undefined
  /** Whether the page itself came through the proxy, and over TLS with a certificate of ours. */
  readonly through: boolean
  readonly secure: boolean
  /** SHA-256 of the CA's certificate, as `llmproxy ca trust` prints it. */
  readonly fingerprint: string
}

/** The address behind which the page looks whether the CA is trusted: it exists only through the proxy. */
const CHECK_URL = "https://llmproxy.local/ok.svg"

const STYLE = `
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--text:#1b1f24;--dim:#5d6673;--line:#dfe3e8;--code:#f0f2f5;--link:#0b5cad;--good:#157347;--bad:#b3261e;--wait:#8a6100}
@media (prefers-color-scheme:dark){:root{--bg:#12151a;--card:#1b2027;--text:#e8ebef;--dim:#9aa5b1;--line:#303843;--code:#12161c;--link:#7ab8ff;--good:#59c98b;--bad:#ff8a80;--wait:#e5b94e}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:46rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.5rem;margin:.25rem 0 1rem}h2{font-size:1.1rem;margin:0 0 .75rem}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1.1rem;margin:0 0 1rem}
p{margin:.4rem 0}.dim{color:var(--dim);font-size:.9rem}
ul.state{list-style:none;margin:0;padding:0}ul.state li{display:flex;gap:.6rem;padding:.3rem 0}
.mark{flex:none;width:1.5rem;height:1.5rem;border-radius:50%;border:2px solid currentColor;font-weight:700;font-size:.85rem;line-height:1.25rem;text-align:center}
.good .mark{color:var(--good)}.bad .mark{color:var(--bad)}.wait .mark{color:var(--wait)}
.files{display:flex;flex-wrap:wrap;gap:.6rem}
.files a{flex:1 1 8rem;border:1px solid var(--line);border-radius:8px;padding:.6rem .8rem;text-decoration:none;color:var(--link);font-weight:600}
.files small{display:block;color:var(--dim);font-weight:400}
details{border-top:1px solid var(--line)}details:first-of-type{border-top:0}
summary{cursor:pointer;padding:.55rem 0;font-weight:600}
pre{background:var(--code);border:1px solid var(--line);border-radius:8px;margin:.3rem 0 .8rem;padding:.6rem .75rem;overflow-x:auto;font:.82rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;user-select:all}
.print{overflow-wrap:anywhere;font:.8rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.device{display:flex;flex-wrap:wrap;gap:1.1rem;align-items:center}.device>div{flex:1 1 14rem;min-width:0;overflow-wrap:anywhere}
.device>.qr{flex:none;width:11rem;height:11rem;border-radius:8px;overflow:hidden;background:#fff}.qr svg{display:block;width:100%;height:100%}
[hidden]{display:none!important}
`

/** Whether the CA is trusted shows in whether a picture can be had over TLS. */
const SCRIPT = `
"use strict";
const show=(id)=>{for(const one of ["tls-wait","tls-good","tls-bad"])document.getElementById(one).hidden=one!==id};
const picture=new Image();
picture.onload=()=>show("tls-good");
picture.onerror=()=>show("tls-bad");
if(!document.getElementById("tls-wait").hidden)picture.src="${CHECK_URL}?"+Date.now();
`

/** For Content-Security-Policy (W3C CSP Level 3). */
export const POLICY = [
  "default-src 'none'",
  `style-src ${sourceOf(STYLE)}`,
  `script-src ${sourceOf(SCRIPT)}`,
  "img-src https://llmproxy.local",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ")

export function pageHtml(facts: PageFacts): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer"><title>llmproxy: set up this device</title><style>${STYLE}</style></head>
<body><main><h1>Set up this device for llmproxy</h1>
${stateSection(facts)}${certificateSection(facts)}${deviceSection(facts)}
<section><h2>1. Trust the certificate</h2><p class="dim">Run the commands in the folder that the PEM file was saved in.</p>
${platformGuides().map(guideHtml).join("\n")}</section>
<section><h2>2. Point a program at the proxy</h2><p>The proxy is <b>${escaped(facts.proxy)}</b>.</p>
${clientGuides(facts.proxy).map(guideHtml).join("\n")}</section>
</main><script>${SCRIPT}</script></body></html>
`
}

function stateSection({ through, secure }: PageFacts): string {
  const came = through
    ? stateLine("good", "This request came through the proxy.")
    : stateLine(
        "wait",
        "This request came to the proxy directly. Once this device uses it as its proxy, open http://llmproxy.local/.",
      )
  const wait = stateLine("wait", "Whether this browser trusts the certificate is being looked at.", "tls-wait", secure)
  const good = stateLine("good", "Interception works: this browser trusts the certificate.", "tls-good", !secure)
  const missing = through
    ? "This browser does not trust the certificate yet: install it below, then load this page again."
    : "Interception does not work in this browser yet: it does not use the proxy, or does not trust the certificate."
  const bad = stateLine("bad", missing, "tls-bad", true)
  return `<section><h2>Does it work?</h2><ul class="state">${came}${wait}${good}${bad}</ul>
<noscript><p class="dim">Without scripts: if <a href="https://llmproxy.local/">https://llmproxy.local/</a> opens without a warning, it works.</p></noscript></section>`
}

function stateLine(state: "good" | "bad" | "wait", text: string, id?: string, hidden = false): string {
  const mark = { good: "✓", bad: "✕", wait: "…" }[state]
  const attributes = `${id === undefined ? "" : ` id="${id}"`}${hidden ? " hidden" : ""}`
  return `<li class="${state}"${attributes}><span class="mark" aria-hidden="true">${mark}</span><span>${text}</span></li>`
}

function certificateSection({ fingerprint }: PageFacts): string {
  return `<section><h2>The certificate</h2><div class="files">
<a href="cert/pem">PEM<small>Linux, macOS, programs</small></a>
<a href="cert/cer">CER<small>iPhone, Android, Windows</small></a>
<a href="cert/p12">P12<small>where nothing else is taken; no password</small></a></div>
<p class="dim">It was made on the proxy’s machine and is its alone. SHA-256:</p><p class="print">${escaped(fingerprint)}</p></section>`
}

function deviceSection({ deviceUrl }: PageFacts): string {
  if (deviceUrl === undefined)
    return `<section><h2>A phone or another machine</h2>
<p>The proxy listens for this machine only. To let others in, start it with an address that they reach, and say who they are:</p>
<pre>llmproxy --host 0.0.0.0 --allow-clients 192.168.0.0/16</pre></section>`
  return `<section><h2>A phone or another machine</h2><div class="device"><div class="qr">${renderSVG(deviceUrl, { border: 2 })}</div>
<div><p>Open this page there:</p><p><b>${escaped(deviceUrl)}</b></p></div></div></section>`
}

function guideHtml({ name, steps }: Guide): string {
  const body = steps.map(({ text, commands }) => {
    const code = commands.length === 0 ? "" : `<pre>${escaped(commands.join("\n"))}</pre>`
    return `${text === "" ? "" : `<p>${escaped(text)}</p>`}${code}`
  })
  return `<details><summary>${escaped(name)}</summary>${body.join("")}</details>`
}

function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  }
  return text.replace(/[&<>"']/g, (char) => entities[char] ?? "")
}

function sourceOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`
}
