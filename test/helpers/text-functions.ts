/**
 * Finds every function of the program that takes a text and whatever else it needs as plain values: from what the files
 * export, by their types, so that one written tomorrow is found as well. Methods of exported classes count. What waits
 * (returns a promise) is no pure function and is left out.
 */
import { dirname, join, relative, resolve } from "node:path"
import ts from "typescript"

export const ROOT = resolve(import.meta.dirname, "../..")
/** Modules that reach outside of the process; node:net is imported to read addresses, and dials with a promise. */
const OUTSIDE = /^(node:(fs|child_process|worker_threads|http2?|https)\b|fs-extra$)/
/** How deep objects among the arguments may go. */
const DEPTH_MAX = 4
/** A number: as wide as a terminal, or where it limits something, more than any text of a test has. */
const NUMBER = 80
const LIMIT = 1 << 24
const IS_LIMIT = /bytes|fields|chars|max|limit|most/i

/** A value for a parameter: `text` stands for the text itself. */
type Argument = { readonly takesText: true; readonly wrap: (text: string) => unknown } | { readonly value: unknown }

export interface TextFunction {
  /** File and name: `lib/base/log.ts printable`. */
  readonly name: string
  readonly file: string
  /** What its file reaches the world with; such a function may do more than compute. */
  readonly reaches: string | undefined
  /** The export, and the method of a new object of it where it is a class. */
  readonly path: readonly string[]
  readonly constructorArguments: readonly Argument[]
  readonly arguments: readonly Argument[]
}

export function textFunctions(folders: readonly string[]): TextFunction[] {
  const { config } = ts.readConfigFile(join(ROOT, "tsconfig.json"), ts.sys.readFile)
  const { fileNames, options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT)
  const files = fileNames.filter((file) => folders.includes(relative(ROOT, file).split(/[\\/]/)[0] ?? ""))
  const program = ts.createProgram(files, options)
  const checker = program.getTypeChecker()
  return files.flatMap((file) => {
    const source = program.getSourceFile(file)
    const module = source === undefined ? undefined : checker.getSymbolAtLocation(source)
    if (source === undefined || module === undefined) return []
    return checker.getExportsOfModule(module).flatMap((exported) => functionsOf(exported, source, checker))
  })
}

function functionsOf(exported: ts.Symbol, source: ts.SourceFile, checker: ts.TypeChecker): TextFunction[] {
  const { valueDeclaration } = exported
  // What is only exported on is found where it is made.
  if (valueDeclaration === undefined || valueDeclaration.getSourceFile() !== source) return []
  const file = relative(ROOT, source.fileName)
  const reaches = outsideOf(source)
  const values = new Values(checker, valueDeclaration)
  const type = checker.getTypeOfSymbolAtLocation(exported, valueDeclaration)
  const found: TextFunction[] = []
  const add = (path: readonly string[], signature: ts.Signature, made: readonly Argument[]) => {
    const given = values.argumentsOf(signature)
    if (given === undefined || !given.some((one) => "takesText" in one) || isAwaited(signature, checker)) return
    found.push({ name: `${file} ${path.join(".")}`, file, reaches, path, constructorArguments: made, arguments: given })
  }
  for (const signature of type.getCallSignatures()) add([exported.name], signature, [])
  const [made] = type.getConstructSignatures()
  const given = made === undefined ? undefined : values.argumentsOf(made)
  if (made !== undefined && given !== undefined) {
    for (const method of checker.getPropertiesOfType(made.getReturnType())) {
      const declared = method.valueDeclaration
      if (declared === undefined || declared.getSourceFile() !== source || !isPublic(declared)) continue
      const methodType = checker.getTypeOfSymbolAtLocation(method, valueDeclaration)
      for (const one of methodType.getCallSignatures()) add([exported.name, method.name], one, given)
    }
  }
  return found
}

function outsideOf({ statements }: ts.SourceFile): string | undefined {
  return statements
    .filter(ts.isImportDeclaration)
    .filter(({ importClause }) => importClause?.isTypeOnly !== true)
    .map(({ moduleSpecifier }) => (ts.isStringLiteral(moduleSpecifier) ? moduleSpecifier.text : ""))
    .find((name) => OUTSIDE.test(name))
}

function isPublic(declared: ts.Declaration): boolean {
  return ts.isMethodDeclaration(declared) && !ts.isPrivateIdentifier(declared.name)
}

function isAwaited(signature: ts.Signature, checker: ts.TypeChecker): boolean {
  return checker.typeToString(signature.getReturnType()).startsWith("Promise<")
}

/** Makes arguments from types. */
class Values {
  readonly #checker: ts.TypeChecker
  readonly #place: ts.Node

  constructor(checker: ts.TypeChecker, place: ts.Node) {
    this.#checker = checker
    this.#place = place
  }

  /** Undefined where one of them cannot be made: a socket, a flow, a function. */
  argumentsOf(signature: ts.Signature): readonly Argument[] | undefined {
    const made: Argument[] = []
    for (const parameter of signature.getParameters()) {
      const type = this.#checker.getTypeOfSymbolAtLocation(parameter, this.#place)
      const argument = this.#argument(type, parameter.name)
      // What may be left out is, where it cannot be made, and all behind it.
      if (argument === undefined && isOptional(parameter)) break
      if (argument === undefined) return undefined
      made.push(argument)
    }
    return made
  }

  #argument(type: ts.Type, name: string): Argument | undefined {
    if (this.#members(type).some((one) => isString(one))) return { takesText: true, wrap: (text) => text }
    if (this.#isListOfTexts(type)) return { takesText: true, wrap: (text) => [text] }
    const made = this.#value(type, name, 0)
    return made === undefined ? undefined : { value: made.value }
  }

  #isListOfTexts(type: ts.Type): boolean {
    const element = this.#checker.getIndexTypeOfType(type, ts.IndexKind.Number)
    if (element !== undefined && this.#checker.isArrayType(type)) return this.#members(element).some(isString)
    return /^(Iterable|ReadonlySet|Set)<string>$/.test(this.#checker.typeToString(type))
  }

  #members(type: ts.Type): readonly ts.Type[] {
    return type.isUnion() ? type.types : [type]
  }

  #value(type: ts.Type, name: string, depth: number): { readonly value: unknown } | undefined {
    const { flags } = type
    if (flags & ts.TypeFlags.Undefined || flags & ts.TypeFlags.Void) return { value: undefined }
    if (flags & ts.TypeFlags.Null) return { value: null }
    if (flags & ts.TypeFlags.Unknown) return { value: undefined }
    if (type.isLiteral()) return { value: type.value }
    if (flags & ts.TypeFlags.BooleanLike) return { value: true }
    if (isString(type)) return { value: "x" }
    if (flags & ts.TypeFlags.NumberLike) return { value: IS_LIMIT.test(name) ? LIMIT : NUMBER }
    if (type.isUnion()) return this.#first(type.types, name, depth)
    if (depth > DEPTH_MAX || !(flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection))) return undefined
    return this.#object(type, depth)
  }

  #first(types: readonly ts.Type[], name: string, depth: number): { readonly value: unknown } | undefined {
    // A value, where one can be made, is a better argument than none.
    const nothing = types.filter(({ flags }) => flags & (ts.TypeFlags.Undefined | ts.TypeFlags.Null))
    for (const one of [...types.filter((type) => !nothing.includes(type)), ...nothing]) {
      const made = this.#value(one, name, depth)
      if (made !== undefined) return made
    }
    return undefined
  }

  #object(type: ts.Type, depth: number): { readonly value: unknown } | undefined {
    if (this.#checker.isArrayType(type)) return { value: [] }
    if (type.getCallSignatures().length > 0 || isOfClass(type)) return undefined
    const object: Record<string, unknown> = {}
    for (const property of this.#checker.getPropertiesOfType(type)) {
      const propertyType = this.#checker.getTypeOfSymbolAtLocation(property, this.#place)
      const made = this.#value(propertyType, property.name, depth + 1)
      if (made === undefined && property.flags & ts.SymbolFlags.Optional) continue
      if (made === undefined) return undefined
      object[property.name] = made.value
    }
    return { value: object }
  }
}

function isOptional({ valueDeclaration: declared }: ts.Symbol): boolean {
  if (declared === undefined || !ts.isParameter(declared)) return false
  return declared.questionToken !== undefined || declared.initializer !== undefined
}

function isString({ flags }: ts.Type): boolean {
  return (flags & ts.TypeFlags.String) !== 0
}

/** Of a class of ours or of the platform: what has state or does something, not a plain value. */
function isOfClass(type: ts.Type): boolean {
  const [declared] = type.getSymbol()?.declarations ?? []
  if (declared === undefined) return false
  return ts.isClassDeclaration(declared) || dirname(declared.getSourceFile().fileName).includes("node_modules")
}
