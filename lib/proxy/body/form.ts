/**
 * Forms in bodies, multipart/form-data and urlencoded, read and written by the platform (fetch's own FormData). What it
 * cannot read is not read; the body leaves as it came all the same.
 */
import { messageOf } from "../../base/errors.ts"

/** Fields of one form. Each costs an object of many times its bytes. */
const FORM_FIELDS_MAX = 10_000

const MULTIPART = /^multipart\/form-data\s*;(?:.*;)?\s*boundary\s*=\s*(?:"([^"]*)"|([^\s";]+))/i
const URLENCODED = /^application\/x-www-form-urlencoded\s*(;|$)/i

/** Rejects with an Error that says what is wrong with the form. */
export async function readForm(bytes: Buffer, contentType: string | undefined): Promise<FormData> {
  const separator = separatorIn(contentType)
  if (contentType === undefined || separator === undefined)
    throw new TypeError(`request.formData: the body is no form but ${contentType ?? "of no Content-Type"}`)
  if (hasMore(bytes, separator, FORM_FIELDS_MAX))
    throw new RangeError(`request.formData: the form has more than ${FORM_FIELDS_MAX} fields`)
  try {
    return await new Response(bytes, { headers: { "Content-Type": contentType } }).formData()
  } catch (thrown) {
    throw new TypeError(`request.formData: the body is no ${contentType} that can be read: ${messageOf(thrown)}`)
  }
}

/** `contentType`: of the body that it replaces. A form of texts stays urlencoded, every other one is multipart. */
export async function writeForm(form: FormData, contentType: string | undefined): Promise<[Buffer, string]> {
  const texts = [...form].flatMap(([name, value]): [string, string][] =>
    typeof value === "string" ? [[name, value]] : [],
  )
  const fits = URLENCODED.test(contentType ?? "") && texts.length === [...form].length
  if (fits) return [Buffer.from(new URLSearchParams(texts).toString()), contentType ?? ""]
  const written = new Response(form)
  return [Buffer.from(await written.arrayBuffer()), written.headers.get("content-type") ?? "multipart/form-data"]
}

/** What stands between two fields. */
function separatorIn(contentType = ""): string | undefined {
  if (URLENCODED.test(contentType)) return "&"
  const [, quoted, plain] = MULTIPART.exec(contentType) ?? []
  const boundary = quoted ?? plain
  return boundary === undefined || boundary === "" ? undefined : `--${boundary}`
}

function hasMore(bytes: Buffer, part: string, max: number): boolean {
  let count = 0
  for (let at = bytes.indexOf(part); at >= 0; at = bytes.indexOf(part, at + part.length)) if (++count > max) return true
  return false
}
