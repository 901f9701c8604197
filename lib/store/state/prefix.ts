/**
 * Puts an addon's name before the names of its tables, so that no addon meets another's by accident: `votes` of the addon
 * "my-poll" is `my_poll__votes` in the database. A plugin of kysely's that works on a query before it is text: names that
 * stand for tables, indexes and constraints get the prefix, what the query itself names (an alias, a common table
 * expression) does not. An addon's name has no underscore and no two hyphens in a row, so no two prefixes are one.
 */
import {
  AliasNode,
  type CommonTableExpressionNode,
  type CreateIndexNode,
  type CreateViewNode,
  type DropConstraintNode,
  type DropIndexNode,
  type DropViewNode,
  IdentifierNode,
  type KyselyPlugin,
  ListNode,
  type OperationNode,
  OperationNodeTransformer,
  type PluginTransformQueryArgs,
  type PluginTransformResultArgs,
  type PrimaryKeyConstraintNode,
  type QueryId,
  type QueryResult,
  type ReferenceNode,
  type RootOperationNode,
  SchemableIdentifierNode,
  TableNode,
  type UniqueConstraintNode,
  type UnknownRow,
} from "kysely"

export class TablePrefix implements KyselyPlugin {
  readonly #prefix: string

  constructor(addon: string) {
    this.#prefix = prefixOf(addon)
  }

  transformQuery({ node, queryId }: PluginTransformQueryArgs): RootOperationNode {
    return new Prefixer(this.#prefix).transformNode(node, queryId)
  }

  async transformResult({ result }: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    return result
  }
}

export function prefixOf(addon: string): string {
  return `${addon.replaceAll("-", "_")}__`
}

/** What names mean within a query: a table, or what the query itself calls so. */
type Scope = Map<string, "table" | "alias" | "expression">

class Prefixer extends OperationNodeTransformer {
  readonly #prefix: string
  /** The innermost last. */
  readonly #scopes: Scope[] = []

  constructor(prefix: string) {
    super()
    this.#prefix = prefix
  }

  protected override transformNodeImpl<T extends OperationNode>(node: T, queryId?: QueryId): T {
    if (!isQuery(node)) return super.transformNodeImpl(node, queryId)
    this.#scopes.push(scopeOf(node))
    try {
      return super.transformNodeImpl(node, queryId)
    } finally {
      this.#scopes.pop()
    }
  }

  /** A table where one is read, written, made or dropped. */
  protected override transformTable(node: TableNode, queryId?: QueryId): TableNode {
    const { schema, identifier } = node.table
    if (schema !== undefined || this.#scopes.some((scope) => scope.get(identifier.name) === "expression"))
      return super.transformTable(node, queryId)
    return TableNode.create(this.#full(identifier.name))
  }

  /** `votes.id`: the name of a table, or one that the query has given. */
  protected override transformReference(node: ReferenceNode, queryId?: QueryId): ReferenceNode {
    const { table, ...rest } = node
    if (table === undefined) return super.transformReference(node, queryId)
    const name = table.table.identifier.name
    const meaning = this.#scopes.findLast((scope) => scope.has(name))?.get(name)
    const isTable = table.table.schema === undefined && meaning === "table"
    const moved = isTable ? TableNode.create(this.#full(name)) : table
    return { ...super.transformReference(rest, queryId), table: moved }
  }

  protected override transformCreateIndex(node: CreateIndexNode, queryId?: QueryId): CreateIndexNode {
    return { ...super.transformCreateIndex(node, queryId), name: this.#named(node.name) }
  }

  protected override transformDropIndex(node: DropIndexNode, queryId?: QueryId): DropIndexNode {
    return { ...super.transformDropIndex(node, queryId), name: this.#schemable(node.name) }
  }

  protected override transformCreateView(node: CreateViewNode, queryId?: QueryId): CreateViewNode {
    return { ...super.transformCreateView(node, queryId), name: this.#schemable(node.name) }
  }

  protected override transformDropView(node: DropViewNode, queryId?: QueryId): DropViewNode {
    return { ...super.transformDropView(node, queryId), name: this.#schemable(node.name) }
  }

  // PostgreSQL makes an index of such a constraint, and its name is one among all tables'.
  protected override transformPrimaryKeyConstraint(
    node: PrimaryKeyConstraintNode,
    queryId?: QueryId,
  ): PrimaryKeyConstraintNode {
    const made = super.transformPrimaryKeyConstraint(node, queryId)
    return node.name === undefined ? made : { ...made, name: this.#named(node.name) }
  }

  protected override transformUniqueConstraint(node: UniqueConstraintNode, queryId?: QueryId): UniqueConstraintNode {
    const made = super.transformUniqueConstraint(node, queryId)
    return node.name === undefined ? made : { ...made, name: this.#named(node.name) }
  }

  protected override transformDropConstraint(node: DropConstraintNode, queryId?: QueryId): DropConstraintNode {
    return { ...super.transformDropConstraint(node, queryId), constraintName: this.#named(node.constraintName) }
  }

  /** A query that was made apart (`db.selectFrom` within another one) comes by here twice. */
  #full(name: string): string {
    return name.startsWith(this.#prefix) ? name : this.#prefix + name
  }

  #named({ name }: IdentifierNode): IdentifierNode {
    return IdentifierNode.create(this.#full(name))
  }

  #schemable(node: SchemableIdentifierNode): SchemableIdentifierNode {
    return node.schema === undefined ? SchemableIdentifierNode.create(this.#full(node.identifier.name)) : node
  }
}

const QUERIES = new Set([
  "SelectQueryNode",
  "InsertQueryNode",
  "UpdateQueryNode",
  "DeleteQueryNode",
  "MergeQueryNode",
  "CreateTableNode",
  "CreateIndexNode",
  "AlterTableNode",
])

/** The parts of a query's node in which tables stand. */
interface QueryNode extends OperationNode {
  readonly with?: { readonly expressions: readonly CommonTableExpressionNode[] }
  readonly from?: { readonly froms: readonly OperationNode[] }
  readonly into?: OperationNode
  readonly table?: OperationNode
  readonly joins?: readonly { readonly table: OperationNode }[]
  readonly using?: OperationNode & { readonly table?: OperationNode; readonly tables?: readonly OperationNode[] }
}

function isQuery(node: OperationNode): node is QueryNode {
  return QUERIES.has(node.kind)
}

function scopeOf(node: QueryNode): Scope {
  const scope: Scope = new Map()
  const put = (name: string, meaning: "table" | "alias") => {
    if (!scope.has(name)) scope.set(name, meaning)
  }
  for (const { name } of node.with?.expressions ?? []) scope.set(name.table.table.identifier.name, "expression")
  const add = (one: OperationNode | undefined): void => {
    if (one === undefined) return
    if (ListNode.is(one)) one.items.forEach(add)
    else if (TableNode.is(one)) put(one.table.identifier.name, "table")
    else if (AliasNode.is(one) && IdentifierNode.is(one.alias)) put(one.alias.name, "alias")
  }
  node.from?.froms.forEach(add)
  add(node.into)
  add(node.table)
  for (const { table } of node.joins ?? []) add(table)
  add(node.using?.table ?? node.using)
  node.using?.tables?.forEach(add)
  return scope
}
