/**
 * The files of roots that this shell's variables name: a program that is led to llmproxy trusts it by one of these, or
 * by the system's store.
 */
import { readFile } from "node:fs/promises"
import type { Ca } from "../../../certs/ca.ts"
import { rootsOfFolders } from "../../../certs/root-folders.ts"
import { ADDING_VARIABLES, BUNDLE_VARIABLES } from "../../../certs/trust.ts"
import { StartError } from "../../base/errors.ts"
import type { Finding, Patient } from "./check.ts"
import { leadsHere } from "./clients.ts"

const FIX = 'start the program with `llmproxy run`, or have the variables set: eval "$(llmproxy env)"'

/** One finding for each file of roots that keeps programs from trusting the CA, else one that says that none does. */
export async function checkRoots(patient: Patient): Promise<Finding[]> {
  // What is wrong with a CA that cannot be used, checkCa tells.
  const ca = await patient.loadCa().catch((thrown: unknown) => {
    if (thrown instanceof StartError) return undefined
    throw thrown
  })
  if (ca === undefined) return []
  const isLed = leadsHere(patient)
  // OpenSSL asks the folders beside the file: they are the only place where no file is named.
  const folders = patient.env.SSL_CERT_FILE ? [] : ["SSL_CERT_DIR"]
  const named = [...ADDING_VARIABLES, ...BUNDLE_VARIABLES, ...folders].filter((name) => patient.env[name])
  const states = await Promise.all(
    named.map(async (name) => ({
      name,
      file: patient.env[name] ?? "",
      state: await patient.holdsCa(ca, patient.env[name] ?? ""),
    })),
  )
  const wrong = states.filter(({ state }) => state !== "yes")
  // One finding a file: six variables that name one file are one thing that is broken.
  const files = [...new Set(wrong.map(({ file }) => file))]
  const findings = files.map((file): Finding => {
    const of = wrong.filter((one) => one.file === file)
    const why = of[0]?.state === "no" ? "does not hold the CA" : "cannot be read"
    return {
      mark: isLed ? "bad" : "note",
      text: `${of.map(({ name }) => name).join(", ")}: ${file} ${why}: programs that take their roots from it refuse llmproxy`,
      fix: FIX,
    }
  })
  if (findings.length > 0) return findings
  const unset = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"].filter((name) => !patient.env[name])
  if (isLed && unset.length > 0 && (await patient.isTrusted(ca)) !== "yes")
    return [
      {
        mark: "bad",
        text: `HTTPS_PROXY leads to llmproxy, but ${unset.join(", ")} name no roots and the system does not trust the CA`,
        fix: FIX,
      },
    ]
  return named.length === 0 ? [] : [{ mark: "good", text: `the CA is in the files of ${named.join(", ")}` }]
}

/** Whether the file, or a list of folders, holds the certificate, however it is wrapped. */
export async function holdsCa(ca: Pick<Ca, "certPem">, file: string): Promise<"yes" | "no" | "unreadable"> {
  const inFolders = rootsOfFolders(file).join("\n")
  const text = inFolders === "" ? await readFile(file, "latin1").catch(() => undefined) : inFolders
  if (text === undefined) return "unreadable"
  const body = (pem: string) => pem.replace(/-----[A-Z ]+-----|\s/g, "")
  const all = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return all.some((pem) => body(pem) === body(ca.certPem)) ? "yes" : "no"
}
