/**
 * How byte-level vocabularies cut a text before they merge bytes: a GGUF file names the way (`tokenizer.ggml.pre`), the
 * patterns themselves stand in each model's own tokenizer.json. Each is applied to the pieces that the one before it
 * left. Ways that are not here are refused by name: a near one would count wrongly without a sign.
 * Source: the models' tokenizer.json files and llama.cpp, src/llama-vocab.cpp; checked against llama.cpp's counts.
 */
export interface Pretokenizer {
  /** Patterns, one after the other. */
  readonly splits: readonly string[]
  /** A piece that is a token is taken as it is. */
  readonly takesWhole?: true
  /** Whether a beginning-of-text token comes first where the file does not say. */
  readonly addsBos?: true
}

const GPT_2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/** OpenAI's second generation, as others took it up: they differ in how many digits stay together. */
function clipped(digits: string): string {
  const suffixes = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
  return `(?:${suffixes})|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
}

const LLAMA_3: Pretokenizer = { splits: [clipped("\\p{N}{1,3}")], takesWhole: true, addsBos: true }
const QWEN_2: Pretokenizer = { splits: [clipped("\\p{N}")] }
const PLAIN_GPT_2: Pretokenizer = { splits: [GPT_2] }
const SINGLE_DIGITS: Pretokenizer = { splits: ["\\p{N}", GPT_2] }
/** Chinese, Japanese, Korean and much between; spaces are none of it for llama.cpp. */
const CJK = "(?:(?!\\s)[\\u4e00-\\u9fa5\\u0800-\\u4e00\\uac00-\\ud7ff])+"
const DEEPSEEK_CODER: Pretokenizer = { splits: ["[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, "\\p{N}"] }
/** Letters with two cases, as the model's file lists them. */
const DEEPSEEK_LETTERS =
  "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\\u1f7dᾀ-ᾴᾶ-ᾼ" +
  "\\u1fbeῂ-ῄῆ-ῌῐ-\\u1fd3ῖ-\\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\\u2126ℨ\\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿ\\ufb00-\\ufb06ﬓ-ﬗＡ-Ｚａ-ｚ" +
  "𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
const DEEPSEEK_LLM: Pretokenizer = {
  splits: ["[\\r\\n]", `\\s?[${DEEPSEEK_LETTERS}]+`, "\\s?[!-/:-~！-／：-～‘-‟、。]+", "\\s+$", CJK, "\\p{N}+"],
}
const DEEPSEEK_3: Pretokenizer = {
  splits: [
    "\\p{N}{1,3}",
    "[\\u4e00-\\u9fa5\\u3040-\\u309f\\u30a0-\\u30ff]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  ],
}

/** OpenAI's third generation, which cuts where small letters are followed by capitals: as llama.cpp does it, ASCII's. */
function cased(suffixes: string, digits: string): string {
  const upper = "(?:(?=\\p{L})[^a-z])"
  const lower = "(?:(?=\\p{L})[^A-Z])"
  const first = "[^\\r\\n\\p{L}\\p{N}]?"
  const words = `${first}${upper}*${lower}+${suffixes}|${first}${upper}+${lower}*${suffixes}`
  return `${words}|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
}

const GPT_4O: Pretokenizer = {
  splits: [cased("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?", "\\p{N}{1,3}")],
}
const TEKKEN: Pretokenizer = { splits: [cased("", "\\p{N}")], takesWhole: true, addsBos: true }
/** What llama.cpp does where the file names no way. */
const DEFAULT: Pretokenizer = { splits: ["[\\p{P}\\$\\+<=>\\^~\\|]+", GPT_2, "\\p{N}+", "[0-9][0-9][0-9]"] }

/** By the name in the file. */
export const PRETOKENIZERS: ReadonlyMap<string, Pretokenizer> = new Map([
  ["gpt-2", PLAIN_GPT_2],
  ["phi-2", PLAIN_GPT_2],
  ["starcoder", SINGLE_DIGITS],
  ["refact", SINGLE_DIGITS],
  ["command-r", SINGLE_DIGITS],
  ["smollm", SINGLE_DIGITS],
  ["codeshell", SINGLE_DIGITS],
  ["llama3", LLAMA_3],
  ["llama-v3", LLAMA_3],
  ["llama-bpe", LLAMA_3],
  ["qwen2", QWEN_2],
  ["deepseek-r1-qwen", QWEN_2],
  ["stablelm2", QWEN_2],
  ["deepseek-llm", DEEPSEEK_LLM],
  ["deepseek-coder", DEEPSEEK_CODER],
  ["deepseek-v3", DEEPSEEK_3],
  ["gpt-4o", GPT_4O],
  ["llama4", GPT_4O],
  ["tekken", TEKKEN],
  ["default", DEFAULT],
  ["falcon3", LLAMA_3],
  ["pixtral", LLAMA_3],
  ["olmo", PLAIN_GPT_2],
  ["dbrx", { splits: LLAMA_3.splits }],
  ["smaug-bpe", { splits: LLAMA_3.splits }],
])
