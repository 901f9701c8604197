/**
 * A terminal's text as a picture: an SVG of plain text in a monospace font, with the colours that paint.ts uses. It needs no
 * font of its own: each piece is stretched to the width of its characters.
 */

const ESCAPE = String.fromCharCode(27)
const CODES = new RegExp(`(${ESCAPE}\\[\\d+m)`)

const CELL_WIDTH = 8
const LINE_HEIGHT = 18
const PADDING = 16
const BACKGROUND = "#16181d"
const FOREGROUND = "#d7dae0"

/** Attributes of text by the code that begins it (ECMA-48's SGR, as chalk writes them). */
const STYLES: Readonly<Record<string, string>> = {
  "1": 'font-weight="bold"',
  "2": 'fill="#868c98"',
  "31": 'fill="#f0717a"',
  "32": 'fill="#8fce7e"',
  "33": 'fill="#e6c06a"',
  "35": 'fill="#d08be0"',
  "36": 'fill="#62c3d0"',
}

/** `columns`: what the text was wrapped for. */
export function svgOf(text: string, columns: number): string {
  const lines = text.trimEnd().split("\n")
  const [width, height] = [columns * CELL_WIDTH + 2 * PADDING, lines.length * LINE_HEIGHT + 2 * PADDING]
  const rows = lines.flatMap((line, row) => texts(line, PADDING + (row + 0.75) * LINE_HEIGHT))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    "<title>llmproxy with the conductor, in a terminal</title>",
    `<rect width="${width}" height="${height}" rx="8" fill="${BACKGROUND}"/>`,
    `<g fill="${FOREGROUND}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="13">`,
    ...rows,
    "</g>",
    "</svg>\n",
  ].join("\n")
}

/** The pieces of a line, each at its column. */
function texts(line: string, y: number): string[] {
  const pieces: string[] = []
  let column = 0
  let style: string | undefined
  for (const part of line.split(CODES)) {
    const code = part.startsWith(ESCAPE) ? part.slice(2, -1) : undefined
    if (code !== undefined)
      style = STYLES[code] // What ends a style has none.
    else if (part.trim() !== "") pieces.push(textAt(part, column, y, style))
    column += code === undefined ? part.length : 0
  }
  return pieces
}

function textAt(part: string, column: number, y: number, style: string | undefined): string {
  const indent = part.length - part.trimStart().length
  const shown = part.trim()
  const place = `x="${PADDING + (column + indent) * CELL_WIDTH}" y="${y}" textLength="${shown.length * CELL_WIDTH}"`
  const escaped = shown.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;")
  const words = `<text xml:space="preserve" ${place}`
  return `${words}${style === undefined ? "" : ` ${style}`}>${escaped}</text>`
}
