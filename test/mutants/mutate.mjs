/**
 * The mutants of a source file: each is the file with one small mistake in it. Mistakes are those that people make and
 * tests should see: a condition turned round, a bound off by one, a call or a return left out. What only reads (types,
 * imports, texts for people) is left alone. Plain JavaScript, as nothing is compiled yet.
 */
import ts from "typescript"

const { SyntaxKind: Kind } = ts

/** Another operator in the place of one. */
const OPERATORS = new Map([
  ["<", "<="],
  ["<=", "<"],
  [">", ">="],
  [">=", ">"],
  ["===", "!=="],
  ["!==", "==="],
  ["&&", "||"],
  ["||", "&&"],
  ["??", "&&"],
  ["+", "-"],
  ["-", "+"],
  ["*", "/"],
  ["/", "*"],
  ["%", "*"],
  ["<<", ">>"],
  [">>", "<<"],
  [">>>", "<<"],
  ["&", "|"],
  ["|", "&"],
  ["^", "&"],
  ["+=", "-="],
  ["-=", "+="],
  ["||=", "&&="],
  ["??=", "="],
])

/**
 * @returns {{ line: string, from: string, to: string, nth: number, source: string }[]} `line` is the text of the line in
 * which the mistake begins, which says where it is also when lines above it come or go; `nth` tells apart those that say
 * the same.
 */
export function mutantsOf(source, name) {
  const file = ts.createSourceFile(name, source, ts.ScriptTarget.Latest, true)
  const mutants = []
  /** `shown`: what the mistake is told with, as a sign alone says little. */
  const replace = (node, to, shown = node) => {
    const [start, end] = [node.getStart(file), node.getEnd()]
    const { line } = file.getLineAndCharacterOfPosition(start)
    const short = (text) => text.replace(/\s+/g, " ")
    mutants.push({
      line: source.split("\n")[line].trim(),
      from: short(shown.getText(file)),
      to: short(source.slice(shown.getStart(file), start) + to + source.slice(end, shown.getEnd())),
      source: source.slice(0, start) + to + source.slice(end),
    })
  }
  visit(file)
  const counts = new Map()
  return mutants.map((mutant) => {
    const key = [mutant.line, mutant.from, mutant.to].join("\n")
    counts.set(key, (counts.get(key) ?? 0) + 1)
    return { ...mutant, nth: counts.get(key) }
  })

  function visit(node) {
    if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isInterfaceDeclaration(node)) return
    if (ts.isTypeAliasDeclaration(node) || ts.isExportDeclaration(node)) return
    if (isForPeople(node)) return
    mutate(node)
    ts.forEachChild(node, visit)
  }

  function mutate(node) {
    if (ts.isBinaryExpression(node)) operator(node.operatorToken)
    else if (ts.isIfStatement(node) || ts.isWhileStatement(node)) negate(node.expression)
    else if (ts.isConditionalExpression(node)) negate(node.condition)
    else if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) unary(node)
    else if (node.kind === Kind.TrueKeyword) replace(node, "false")
    else if (node.kind === Kind.FalseKeyword) replace(node, "true")
    else if (ts.isStringLiteral(node) && isValue(node)) replace(node, node.text === "" ? '"?"' : '""')
    else if (ts.isReturnStatement(node) && node.expression) returned(node.expression)
    else if (ts.isArrowFunction(node) && !ts.isBlock(node.body)) returned(node.body)
    else if (ts.isExpressionStatement(node) && !isDirective(node) && !isForPeople(node.expression)) replace(node, "{}")
    else if ((ts.isContinueStatement(node) || ts.isBreakStatement(node)) && !ts.isCaseClause(node.parent))
      replace(node, "{}")
  }

  function operator(token) {
    const other = OPERATORS.get(token.getText(file))
    if (other === undefined) return
    const { left } = token.parent
    // "a" + b made a number is no mistake that anybody makes.
    if (token.kind === Kind.PlusToken && (isText(left) || isText(token.parent.right))) return
    replace(token, other, token.parent)
  }

  /** A comparison has mutants of its own. */
  function negate(condition) {
    const isCompared = ts.isBinaryExpression(condition) && /^[!=]==$/.test(condition.operatorToken.getText(file))
    const isNegated = ts.isPrefixUnaryExpression(condition) && condition.operator === Kind.ExclamationToken
    if (!isCompared && !isNegated) replace(condition, `!(${condition.getText(file)})`)
  }

  function unary(node) {
    const { operand } = node
    if (node.operator === Kind.ExclamationToken) replace(node, operand.getText(file))
    if (node.operator !== Kind.PlusPlusToken && node.operator !== Kind.MinusMinusToken) return
    const other = node.operator === Kind.PlusPlusToken ? "--" : "++"
    const text = operand.getText(file)
    replace(node, ts.isPrefixUnaryExpression(node) ? other + text : text + other)
  }

  function returned(value) {
    const isEmpty = ts.isIdentifier(value) && value.text === "undefined"
    const isPlain = value.kind === Kind.TrueKeyword || value.kind === Kind.FalseKeyword || ts.isStringLiteral(value)
    const isVoid = ts.isVoidExpression(value)
    if (!isEmpty && !isPlain && !isVoid) replace(value, "undefined")
  }

  function isText(node) {
    return ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)
  }
}

/** What is thrown or logged: its text is for people, and no test should hold each word of it. */
function isForPeople(node) {
  if (ts.isThrowStatement(node)) return true
  if (ts.isNewExpression(node)) return /(?:Error|Violation|Trouble)$/.test(node.expression.getText())
  return ts.isCallExpression(node) && /(?:^|\.)log\.(?:debug|info|warn|error)$/.test(node.expression.getText())
}

function isDirective(node) {
  return ts.isStringLiteral(node.expression)
}

/** Whether a string is a value: no name of a property, a module or a type, no text for people, and no default. */
function isValue({ parent, text }) {
  if (/\w \w/.test(text) || text === "utf8") return false
  return !ts.isPropertyAssignment(parent) || parent.initializer.kind === Kind.StringLiteral
    ? !ts.isLiteralTypeNode(parent) && !ts.isImportTypeNode(parent) && !ts.isExternalModuleReference(parent)
    : false
}
