/**
 * The addon API: what `import ... from "llmproxy"` gives. Everything else in the package may change.
 */
export {
  type AddonContext,
  type AddonDefinition,
  type Asks,
  defineAddon,
  type FailurePolicy,
  type OwnSendOptions,
  type Reads,
  type Send,
  type TokenService,
  type TokenVocabulary,
} from "./api/addon.ts"
export type { CommandContext, CommandSpec, DeclareCommand } from "./api/command.ts"
export type { Events } from "./api/events.ts"
export type * from "./api/flow.ts"
export type {
  AuthenticateHookInfo,
  ClientHookInfo,
  ConnectHookInfo,
  HookName,
  Hooks,
  ServerHookInfo,
  TlsHookInfo,
} from "./api/hooks.ts"
export type {
  Counter,
  Gauge,
  Histogram,
  HistogramSpec,
  Labels,
  MetricSeries,
  MetricSnapshot,
  MetricSpec,
  Metrics,
} from "./api/metrics.ts"
export type {
  EndpointDocument,
  RefusedAnswer,
  Serve,
  ServeAccess,
  ServeContext,
  ServeHandler,
  ServeSpec,
} from "./api/serve.ts"
export type {
  FlowHistory,
  HistoryLimits,
  IncrementOptions,
  OpenTables,
  Records,
  TableMigration,
} from "./api/store.ts"
export { countUsage } from "./api/usage.ts"
export type { Clock, Timer } from "./base/clock.ts"
export { isOpenAiKey, isPlaceholderKey } from "./base/cloud-key.ts"
export { FlowError, UsageError } from "./base/errors.ts"
export { Headers, type HeadersInit } from "./base/headers.ts"
export { isObject, numberOf, objectOf, stringOf } from "./base/json.ts"
export type { Logger } from "./base/log.ts"
export { type OutputPlace, type OutputStream, openStream, outputPlace } from "./base/output-place.ts"
export { Redactor } from "./base/secrets/redactor.ts"
export { type Fit, fitMessages } from "./llm/fit/fit.ts"
export { textOf } from "./llm/message-text.ts"
export type {
  Choice,
  ContentPart,
  FinishReason,
  FunctionTool,
  GivenTool,
  LlmErrorKind,
  LlmTimings,
  Message,
  OtherPart,
  ProviderTool,
  TextPart,
  Tool,
  ToolCall,
} from "./llm/model.ts"
export type { TokenCount } from "./llm/tokens/counter.ts"
export type { OptionCheck, OptionProblem, OptionSpec, OptionSpecs, OptionValues } from "./options/spec.ts"
export { isLoopbackHost } from "./proxy/upstream/self.ts"
export { findLlama, llamaInstall } from "./services/llama-package.ts"
export { openPrices, type Price, type PriceAsk, type Prices } from "./services/prices.ts"
