/**
 * The addon API: what `import ... from "llmproxy"` gives. Everything else in the package may change.
 */
export {
  type AddonContext,
  type AddonDefinition,
  defineAddon,
  type FailurePolicy,
  type TokenService,
  type TokenVocabulary,
} from "./addon.ts"
export type {
  FlowHistory,
  HistoryLimits,
  IncrementOptions,
  OpenTables,
  Records,
  TableMigration,
} from "./addon-store.ts"
export type { Events } from "./api/events.ts"
export type { Counter, Gauge, Histogram, HistogramSpec, Labels, MetricSpec, Metrics } from "./api/metrics.ts"
export type { Clock, Timer } from "./clock.ts"
export { isOpenAiKey, isPlaceholderKey } from "./cloud-key.ts"
export { FlowError } from "./errors.ts"
export type * from "./flow.ts"
export { Headers, type HeadersInit } from "./headers.ts"
export type { ClientHookInfo, ConnectHookInfo, HookName, Hooks, ServerHookInfo, TlsHookInfo } from "./hooks.ts"
export { isObject } from "./llm/json.ts"
export { textOf } from "./llm/message-text.ts"
export type {
  Choice,
  ContentPart,
  FinishReason,
  LlmErrorKind,
  LlmTimings,
  Message,
  ToolCall,
} from "./llm/model.ts"
export {
  type ChatTemplate,
  cleanOutput,
  DEEPSEEK_CODER,
  flattenMessages,
  jinjaTemplate,
  type RenderedPrompt,
  renderDeepseekCoder,
  StopFilter,
  TEMPLATES,
  templateForModel,
  templateNamed,
} from "./llm/template.ts"
export type { TokenCount } from "./llm/tokens/counter.ts"
export type { Logger } from "./log.ts"
export type { OptionSpec, OptionSpecs, OptionValues } from "./option-spec.ts"
export { type OutputPlace, type OutputStream, openStream, outputPlace } from "./output-place.ts"
export { isLoopbackHost } from "./proxy/self.ts"
export { Redactor } from "./secrets.ts"
export { countUsage } from "./usage.ts"
