/**
 * What images, sounds and files in a message cost, by the formulas that the models' makers publish. Base64 is measured,
 * never counted as text. The figures differ by model and change: a count that contains one is an estimate. As of
 * November 2026; a model that came later, or that the table does not know, is taken for one that costs much.
 * Sources: OpenAI, "Images and vision", calculating costs, and what users measured of models that the page leaves out;
 * Anthropic, "Vision"; Google, "Understand and count tokens" and Gemma 3's report; the configurations of Qwen-VL, LLaVA.
 */
import { bareModel } from "./encodings.ts"
import { type ImageSize, imageSize } from "./image-size.ts"

export type ImageDetail = "low" | "high"

/**
 * Tiles: a base, and a price for each square of 512 pixels. Patches: squares of `side` pixels, to which an image is shrunk
 * that has more than `most` of them or a longer edge than `edge`, times a factor. Crops: a price for each square of
 * `crop` pixels. Each: the same for every image.
 */
type Pricing = Tiles | Patches | { readonly crop: number; readonly price: number } | { readonly each: number }

interface Tiles {
  readonly base: number
  readonly tile: number
}

interface Patches {
  readonly side: number
  readonly most: number
  readonly factor: number
  readonly edge?: number
}

const patchesOf = (factor: number, most = 1_536): Pricing => ({ side: 32, most, factor })
const CLAUDE: Pricing = { side: 28, most: 1_568, factor: 1, edge: 1_568 }
const CLAUDE_SHARP: Pricing = { side: 28, most: 4_784, factor: 1, edge: 2_576 }

// The first that fits decides: the small models stand before their families, and these before what is newer.
const PRICING: readonly (readonly [model: RegExp, pricing: Pricing])[] = [
  [/^gpt-4o-mini/, { base: 2833, tile: 5667 }],
  [/^gpt-(?:4\.1|5)-mini|^gpt-5[.\d]*-(?:codex-)?mini/, patchesOf(1.62)],
  [/^gpt-(?:4\.1|5[.\d]*)-nano/, patchesOf(2.46)],
  [/^o4-mini|^codex-mini/, patchesOf(1.72)],
  [/^gpt-5(?:\.1)?(?![.\d])/, { base: 70, tile: 140 }],
  [/^gpt-5\.[23](?!\d)/, patchesOf(1)],
  [/^gpt-[34]|^chatgpt-4o/, { base: 85, tile: 170 }],
  [/^o[13](?!\d)/, { base: 75, tile: 150 }],
  [/^computer-use/, { base: 65, tile: 129 }],
  [/^(?:chat)?gpt-\d/, patchesOf(1, 2_500)],
  [/^claude-opus-4[-.]7/, CLAUDE_SHARP],
  [/^claude-(?:[123]|instant|(?:opus|sonnet|haiku)-4(?!\d))/, CLAUDE],
  [/^claude/, CLAUDE_SHARP],
  [/^gemini-[12](?!\d)/, { crop: 768, price: 258 }],
  [/^gemini/, { each: 1_120 }],
  [/^gemma-?3(?!\d)/, { each: 256 }],
  [/^qwen-?2(?:\.5)?-?vl/, { side: 28, most: 16_384, factor: 1 }],
  [/^qwen-?3-?vl/, { side: 32, most: 16_384, factor: 1 }],
  [/^(?:bak)?llava/, { each: 2_880 }],
]

// Patches as small as Claude's and Qwen's: more tokens than most models take for a picture of the same size.
const UNKNOWN: Pricing = { side: 28, most: 4_096, factor: 1 }

// In pixels.
const FIT_SIDE = 2048
const SHORT_SIDE = 768
const TILE_SIDE = 512

/** Stands for an image whose size is not in the request (a URL, a file id). */
const DEFAULT_SIZE: ImageSize = { width: 1024, height: 1024 }

// Most headers end within the first; JPEG may have a profile and a thumbnail before its size.
const HEADER_BYTES = [4_096, 262_144]

// 10 tokens are a second of sound; a second is 48,000 bytes of 24 kHz PCM or 16,000 of MP3 at 128 kbit/s.
const AUDIO_TOKENS_PER_SECOND = 10
const WAV_BYTES_PER_SECOND = 48_000
const MP3_BYTES_PER_SECOND = 16_000

/** A PDF of two pages, text and pictures: what a file is inside is not looked at. */
export const FILE_TOKENS = 2_000

/** Tokens of one image. `url` is a data: URL, whose header gives the size, or any other reference. */
export function imageTokens(model: string, url: string, detail: ImageDetail): number {
  const name = bareModel(model)
  const pricing = PRICING.find(([pattern]) => pattern.test(name))?.[1] ?? UNKNOWN
  if ("each" in pricing) return pricing.each
  const size = dataUrlSize(url) ?? DEFAULT_SIZE
  if ("side" in pricing) return Math.ceil(patches(size, pricing) * pricing.factor)
  if ("crop" in pricing) return across(size.width, pricing.crop) * across(size.height, pricing.crop) * pricing.price
  return detail === "low" ? pricing.base : pricing.base + tiles(size) * pricing.tile
}

/** Tokens of a sound of `base64Chars` characters of base64. */
export function audioTokens(base64Chars: number, format: string | undefined): number {
  const perSecond = format === "wav" ? WAV_BYTES_PER_SECOND : MP3_BYTES_PER_SECOND
  return Math.ceil(((base64Chars * 0.75) / perSecond) * AUDIO_TOKENS_PER_SECOND)
}

function dataUrlSize(url: string): ImageSize | undefined {
  const comma = url.startsWith("data:") ? url.slice(0, 256).indexOf(";base64,") : -1
  if (comma === -1) return undefined
  const from = comma + ";base64,".length
  for (const bytes of HEADER_BYTES) {
    const size = imageSize(Buffer.from(url.slice(from, from + Math.ceil(bytes / 3) * 4), "base64"))
    if (size !== undefined) return size
  }
  return undefined
}

/** Shrunk to fit a square of 2048, then to a short side of 768, then cut in tiles. Small images are not enlarged. */
function tiles({ width, height }: ImageSize): number {
  const fit = Math.min(1, FIT_SIDE / Math.max(width, height))
  const scale = fit * Math.min(1, SHORT_SIDE / (Math.min(width, height) * fit))
  return across(width * scale, TILE_SIDE) * across(height * scale, TILE_SIDE)
}

/** Shrunk to the longest edge, then until at most `most` patches cover it, then until one side is whole patches. */
function patches({ width, height }: ImageSize, { side, most, edge = Infinity }: Patches): number {
  const fit = Math.min(1, edge / Math.max(width, height))
  const [wide, high] = [(width * fit) / side, (height * fit) / side]
  const all = across(wide, 1) * across(high, 1)
  if (all <= most) return all
  const shrink = Math.sqrt(most / (wide * high))
  const whole = Math.min(roundedDown(wide * shrink), roundedDown(high * shrink))
  return Math.min(most, across(wide * shrink * whole, 1) * across(high * shrink * whole, 1))
}

/** What a length has to be multiplied with to be whole. */
function roundedDown(length: number): number {
  return Math.max(1, Math.floor(length)) / length
}

/** How many units cover a length; a millionth over is a rounding error, not another unit. */
function across(length: number, unit: number): number {
  return Math.max(1, Math.ceil(length / unit - 1e-6))
}
