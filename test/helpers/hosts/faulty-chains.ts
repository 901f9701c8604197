/** Chains of certificates that no CA of ours would make, made by openssl when a test starts. */
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** no-ca: the issuer may issue nothing; purpose: for clients alone; critical: an extension that nobody knows. */
export type FaultyKind = "no-ca" | "path-length" | "purpose" | "critical"

/** The chain of a server for a.test, its key, and the root to trust. */
export function faultyChain(folder: string, kind: FaultyKind): { cert: string; key: string; root: string } {
  const file = (name: string) => join(folder, name)
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" })
  const key = (name: string) => openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", `${name}.key`)
  const sign = (name: string, issuer: string, extensions: string) => {
    key(name)
    openssl("req", "-new", "-key", `${name}.key`, "-subj", `/CN=${name}`, "-out", `${name}.csr`)
    writeFileSync(file(`${name}.ext`), extensions)
    const by = ["-CA", `${issuer}.pem`, "-CAkey", `${issuer}.key`, "-CAcreateserial"]
    openssl(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      ...by,
      "-days",
      "30",
      "-extfile",
      `${name}.ext`,
      "-out",
      `${name}.pem`,
    )
  }
  key("root")
  const root = ["-addext", "basicConstraints=critical,CA:TRUE,pathlen:0", "-addext", "keyUsage=critical,keyCertSign"]
  openssl("req", "-x509", "-new", "-key", "root.key", "-subj", "/CN=root", "-days", "30", ...root, "-out", "root.pem")
  const leaf = "subjectAltName=DNS:a.test\n"
  const names: string[] = []
  if (kind === "purpose") {
    sign("leaf", "root", `${leaf}extendedKeyUsage=clientAuth\n`)
    names.push("leaf")
  } else if (kind === "no-ca") {
    sign("middle", "root", "basicConstraints=critical,CA:FALSE\n")
    sign("leaf", "middle", leaf)
    names.push("leaf", "middle")
  } else if (kind === "path-length") {
    sign("middle", "root", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n")
    sign("last", "middle", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n")
    sign("leaf", "last", leaf)
    names.push("leaf", "last", "middle")
  } else {
    sign("leaf", "root", `${leaf}1.2.3.4.5=critical,ASN1:UTF8String:nobody knows this\n`)
    names.push("leaf")
  }
  const cert = names.map((name) => readFileSync(file(`${name}.pem`), "utf8")).join("")
  return { cert, key: readFileSync(file("leaf.key"), "utf8"), root: readFileSync(file("root.pem"), "utf8") }
}
