/**
 * Where the providers are that LiteLLM knows by a word before the model ("groq/llama-3.3-70b"), as far as they can be asked in a
 * dialect of ours: https://docs.litellm.ai/docs/providers, and each provider's own documentation. Pure.
 */
export interface Provider {
  /** Undefined: it stands in `api_base`. */
  readonly url: string | undefined
  /** The variable that LiteLLM looks for where no key is given. */
  readonly variable: string | undefined
  readonly dialect?: string
  /** What LiteLLM's `api_base` lacks. */
  readonly behindBase?: string
}

export const PROVIDERS: Readonly<Record<string, Provider>> = {
  openai: { url: "https://api.openai.com/v1", variable: "OPENAI_API_KEY" },
  "text-completion-openai": { url: "https://api.openai.com/v1", variable: "OPENAI_API_KEY" },
  anthropic: { url: "https://api.anthropic.com", variable: "ANTHROPIC_API_KEY", dialect: "anthropic-messages" },
  gemini: { url: "https://generativelanguage.googleapis.com/v1beta/openai", variable: "GEMINI_API_KEY" },
  azure: { url: undefined, variable: "AZURE_API_KEY", behindBase: "/openai/v1" },
  ollama: { url: "http://127.0.0.1:11434", variable: undefined, dialect: "ollama" },
  ollama_chat: { url: "http://127.0.0.1:11434", variable: undefined, dialect: "ollama" },
  lm_studio: { url: "http://127.0.0.1:1234/v1", variable: undefined },
  llamafile: { url: "http://127.0.0.1:8080/v1", variable: undefined },
  hosted_vllm: { url: undefined, variable: "HOSTED_VLLM_API_KEY" },
  openai_like: { url: undefined, variable: "OPENAI_LIKE_API_KEY" },
  litellm_proxy: { url: undefined, variable: "LITELLM_PROXY_API_KEY" },
  groq: { url: "https://api.groq.com/openai/v1", variable: "GROQ_API_KEY" },
  mistral: { url: "https://api.mistral.ai/v1", variable: "MISTRAL_API_KEY" },
  deepseek: { url: "https://api.deepseek.com/v1", variable: "DEEPSEEK_API_KEY" },
  openrouter: { url: "https://openrouter.ai/api/v1", variable: "OPENROUTER_API_KEY" },
  together_ai: { url: "https://api.together.xyz/v1", variable: "TOGETHERAI_API_KEY" },
  fireworks_ai: { url: "https://api.fireworks.ai/inference/v1", variable: "FIREWORKS_AI_API_KEY" },
  xai: { url: "https://api.x.ai/v1", variable: "XAI_API_KEY" },
  cerebras: { url: "https://api.cerebras.ai/v1", variable: "CEREBRAS_API_KEY" },
  perplexity: { url: "https://api.perplexity.ai/v1", variable: "PERPLEXITYAI_API_KEY" },
  nvidia_nim: { url: "https://integrate.api.nvidia.com/v1", variable: "NVIDIA_NIM_API_KEY" },
}

/** A model's name without a word before it is OpenAI's. */
export function providerOf(model: string): { readonly name: string; readonly id: string } {
  const slash = model.indexOf("/")
  const word = slash === -1 ? "" : model.slice(0, slash)
  if (slash > 0 && (Object.hasOwn(PROVIDERS, word) || UNKNOWN.has(word)))
    return { name: word, id: model.slice(slash + 1) }
  return { name: "openai", id: model }
}

/** LiteLLM's words for what speaks none of our dialects. */
const UNKNOWN: ReadonlySet<string> = new Set([
  ...["bedrock", "vertex_ai", "vertex_ai_beta", "sagemaker", "sagemaker_chat", "cohere", "cohere_chat", "huggingface"],
  ...[
    "replicate",
    "watsonx",
    "databricks",
    "snowflake",
    "oci",
    "nlp_cloud",
    "petals",
    "clarifai",
    "predibase",
    "azure_ai",
  ],
  ...["github", "voyage", "jina_ai", "infinity", "triton", "cloudflare", "palm", "aleph_alpha", "ai21", "anyscale"],
])
