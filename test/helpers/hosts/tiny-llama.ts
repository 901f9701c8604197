/**
 * A model of two layers with weights from a seed, as a GGUF file of 500 kB: it says nothing that means anything, at once.
 * For hosts that are to be asked, not for what they answer.
 */

import { type GgufTensor, ggufFile } from "../llm/gguf-file.ts"
import { Random } from "../wire/generated-exchange.ts"

const WIDTH = 64
const INNER = 128
const LAYERS = 2
const HEADS = 4
/** Tokens that it was made for. */
const CONTEXT = 4_096

const NORMAL = 1
const UNKNOWN = 2
const CONTROL = 3
const BYTE = 6

const CHAT_TEMPLATE =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

export function tinyLlama(): Buffer {
  const bytes = Array.from({ length: 256 }, (_, at) => `<0x${at.toString(16).toUpperCase().padStart(2, "0")}>`)
  const words = [..."▁abcdefghijklmnopqrstuvwxyz.,"].flatMap((letter) =>
    letter === "▁" ? letter : [letter, `▁${letter}`],
  )
  const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...words]
  const types = [UNKNOWN, CONTROL, CONTROL, ...bytes.map(() => BYTE), ...words.map(() => NORMAL)]
  const metadata = {
    "general.architecture": "llama",
    "general.name": "tiny",
    "llama.context_length": CONTEXT,
    "llama.embedding_length": WIDTH,
    "llama.block_count": LAYERS,
    "llama.feed_forward_length": INNER,
    "llama.attention.head_count": HEADS,
    "llama.attention.head_count_kv": HEADS,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.dimension_count": WIDTH / HEADS,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.scores": tokens.map((_, at) => -at),
    "tokenizer.ggml.token_type": types,
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.chat_template": CHAT_TEMPLATE,
  }
  return ggufFile(metadata, tensors(tokens.length))
}

function tensors(tokens: number): GgufTensor[] {
  const random = new Random(1)
  const weight = (name: string, ...sizes: number[]): GgufTensor => {
    const count = sizes.reduce((product, size) => product * size, 1)
    const isNorm = name.endsWith("_norm")
    const values = Float32Array.from({ length: count }, () => (isNorm ? 1 : (random.next() - 0.5) / 4))
    return { name: `${name}.weight`, sizes, values }
  }
  const layer = (at: number) => [
    weight(`blk.${at}.attn_norm`, WIDTH),
    ...["q", "k", "v", "output"].map((part) => weight(`blk.${at}.attn_${part}`, WIDTH, WIDTH)),
    weight(`blk.${at}.ffn_norm`, WIDTH),
    weight(`blk.${at}.ffn_gate`, WIDTH, INNER),
    weight(`blk.${at}.ffn_up`, WIDTH, INNER),
    weight(`blk.${at}.ffn_down`, INNER, WIDTH),
  ]
  const layers = Array.from({ length: LAYERS }, (_, at) => layer(at)).flat()
  return [weight("token_embd", WIDTH, tokens), weight("output_norm", WIDTH), weight("output", WIDTH, tokens), ...layers]
}
