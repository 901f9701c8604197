/**
 * Tables are declared in SQLite's words, and so are addons': this makes PostgreSQL's of them, so that one migration gives
 * the same table on both. A whole number has 64 bits (PostgreSQL's "integer" has 32, in which no time in milliseconds
 * fits), one that counts itself up does so, and texts are in the order of their bytes, whatever language the server speaks.
 */
import {
  DataTypeNode,
  GeneratedNode,
  type KyselyPlugin,
  type OperationNode,
  OperationNodeTransformer,
  type PluginTransformQueryArgs,
  type PluginTransformResultArgs,
  type QueryId,
  type QueryResult,
  RawNode,
  type RootOperationNode,
  type UnknownRow,
} from "kysely"

const TYPES: Readonly<Record<string, string>> = {
  text: 'text collate "C"',
  integer: "bigint",
  real: "double precision",
  blob: "bytea",
}

class Types extends OperationNodeTransformer {
  protected override transformNodeImpl<T extends OperationNode>(node: T, queryId?: QueryId): T {
    const made = super.transformNodeImpl(node, queryId)
    if (made.kind !== "ColumnDefinitionNode" || !("dataType" in made)) return made
    const type = made.dataType
    const own = isDataType(type) ? TYPES[type.dataType] : undefined
    const typed = own === undefined ? made : { ...made, dataType: RawNode.createWithSql(own) }
    if (!("autoIncrement" in typed) || typed.autoIncrement !== true) return typed
    return { ...typed, autoIncrement: false, generated: GeneratedNode.create({ identity: true, byDefault: true }) }
  }
}

function isDataType(node: unknown): node is DataTypeNode {
  return typeof node === "object" && node !== null && "kind" in node && DataTypeNode.is(node as OperationNode) // kysely's own mark
}

export class PostgresColumnTypes implements KyselyPlugin {
  readonly #types = new Types()

  transformQuery({ node, queryId }: PluginTransformQueryArgs): RootOperationNode {
    return node.kind === "CreateTableNode" || node.kind === "AlterTableNode"
      ? this.#types.transformNode(node, queryId)
      : node
  }

  async transformResult({ result }: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    return result
  }
}
