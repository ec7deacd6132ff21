// The few shapes that a picture is made of, as SVG text. Everything that comes from outside is escaped here.

export function rect(
  x: number,
  y: number,
  width: number,
  height: number,
  fill: string,
  title?: string,
  opacity?: number,
): string {
  const shape = `<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" fill="${fill}"${opacity === undefined ? '' : ` fill-opacity="${opacity}"`}`;
  return title === undefined ? `${shape}/>` : `${shape}><title>${escapeText(title)}</title></rect>`;
}

export function line(
  x1: number,
  y1: number,
  x2: number,
  y2: number,
  stroke: string,
  dashes?: string,
  width = 1,
): string {
  const dash = dashes === undefined ? '' : ` stroke-dasharray="${dashes}"`;
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" stroke="${stroke}" stroke-width="${width}"${dash}/>`;
}

export interface TextStyle {
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly fill?: string;
  readonly size?: number;
  readonly weight?: number;
}

export function text(x: number, y: number, content: string, style: TextStyle = {}): string {
  const { anchor, fill, size, weight } = style;
  const attributes = [
    anchor === undefined ? '' : ` text-anchor="${anchor}"`,
    fill === undefined ? '' : ` fill="${fill}"`,
    size === undefined ? '' : ` font-size="${size}"`,
    weight === undefined ? '' : ` font-weight="${weight}"`,
  ].join('');
  return `<text x="${round(x)}" y="${round(y)}"${attributes}>${escapeText(content)}</text>`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** URLs and file names come from outside: nothing of them may become markup, and characters that XML does not allow are replaced. */
export function escapeText(content: string): string {
  let result = '';
  for (const character of content) {
    const code = character.codePointAt(0) as number;
    const allowed =
      code === 9 ||
      code === 10 ||
      code === 13 ||
      (code >= 0x20 && code <= 0xd7ff) ||
      (code >= 0xe000 && code <= 0xfffd) ||
      code > 0xffff;
    result += allowed ? (MARKUP[character] ?? character) : '\ufffd';
  }
  return result;
}

const MARKUP: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
