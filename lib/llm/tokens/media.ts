/**
 * What images, sounds and files in a message cost, by OpenAI's published formulas. Base64 is measured, never counted
 * as text. The figures differ by model and change: a count that contains one is an estimate.
 * Source: OpenAI, "Images and vision", calculating costs; the models that the page leaves out, as users measured them.
 */
import { bareModel } from "./encodings.ts"
import { type ImageSize, imageSize } from "./image-size.ts"

export type ImageDetail = "low" | "high"

/** Tiles: a base, and a price for each square of 512 pixels. Patches: a factor on squares of 32 pixels. */
type Pricing = { readonly base: number; readonly tile: number } | { readonly patch: number }

// The first prefix that fits decides: the small models stand before their families.
const PRICING: readonly (readonly [prefix: string, pricing: Pricing])[] = [
  ["gpt-4o-mini", { base: 2833, tile: 5667 }],
  ["gpt-4.1-mini", { patch: 1.62 }],
  ["gpt-4.1-nano", { patch: 2.46 }],
  ["gpt-5-mini", { patch: 1.62 }],
  ["gpt-5-nano", { patch: 2.46 }],
  ["o4-mini", { patch: 1.72 }],
  ["gpt-5", { base: 70, tile: 140 }],
  ["o1", { base: 75, tile: 150 }],
  ["o3", { base: 75, tile: 150 }],
]
const DEFAULT_PRICING: Pricing = { base: 85, tile: 170 }

// In pixels.
const FIT_SIDE = 2048
const SHORT_SIDE = 768
const TILE_SIDE = 512
const PATCH_SIDE = 32
const PATCHES_MAX = 1536

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
  const pricing = PRICING.find(([prefix]) => name.startsWith(prefix))?.[1] ?? DEFAULT_PRICING
  const size = dataUrlSize(url) ?? DEFAULT_SIZE
  if ("patch" in pricing) return Math.ceil(patches(size) * pricing.patch)
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

/** Shrunk until at most 1536 patches cover it, then once more until one side is whole patches. */
function patches({ width, height }: ImageSize): number {
  const all = across(width, PATCH_SIDE) * across(height, PATCH_SIDE)
  if (all <= PATCHES_MAX) return all
  const shrink = Math.sqrt((PATCH_SIDE * PATCH_SIDE * PATCHES_MAX) / (width * height))
  const wide = (width * shrink) / PATCH_SIDE
  const high = (height * shrink) / PATCH_SIDE
  const fit = Math.min(Math.max(1, Math.floor(wide)) / wide, Math.max(1, Math.floor(high)) / high)
  return Math.min(PATCHES_MAX, across(wide * fit, 1) * across(high * fit, 1))
}

/** How many units cover a length; a millionth over is a rounding error, not another unit. */
function across(length: number, unit: number): number {
  return Math.max(1, Math.ceil(length / unit - 1e-6))
}
