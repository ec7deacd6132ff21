// JSON whose numbers keep all their digits: JSON.parse rounds whole numbers above 2^53, and Node before 21 does not tell a reviver what stood there.
// So numbers that it might change are made strings before, with a mark in front of them that no string of the text has.

export interface ExactJson {
  readonly value: unknown;
  /** What strings begin with that were numbers: their digits as they stood there come behind it. */
  readonly mark: string;
}

/** Control characters stand in a string only as an escape of six characters, so that it is seen whether one is there. */
const FIRST_MARK = 0x0e;
const LAST_MARK = 0x1f;

/** JSON's own grammar. */
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
/** Digits that JSON.parse always keeps. */
const SAFE_DIGITS = 15;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

/** Throws a SyntaxError for what is no JSON, and for a text that has every mark in its strings. */
export function parseExactJson(text: string): ExactJson {
  const mark = markFor(text);
  return { value: JSON.parse(withMarks(text, mark)), mark: String.fromCharCode(mark) };
}

function markFor(text: string): number {
  const used = new Set((text.match(/\\u00[01][0-9a-fA-F]/g) ?? []).map((escape) => parseInt(escape.slice(2), 16)));
  for (let mark = FIRST_MARK; mark <= LAST_MARK; mark++) if (!used.has(mark)) return mark;
  throw new SyntaxError('every control character is in it');
}

/** The text with its doubtful numbers as strings. What is no JSON stays none. */
function withMarks(text: string, mark: number): string {
  const pieces: string[] = [];
  let taken = 0;
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at + 1);
    } else if (!isNumeric(code)) {
      at++;
    } else {
      const start = at;
      let isPlain = true;
      for (; at < text.length && isNumeric(text.charCodeAt(at)); at++) isPlain &&= isDigit(text.charCodeAt(at));
      if (isPlain && at - start <= SAFE_DIGITS) continue;
      const number = text.slice(start, at);
      if (!NUMBER.test(number) || isKey(text, at)) continue;
      pieces.push(text.slice(taken, start), `"\\u00${mark.toString(16).padStart(2, '0')}${number}"`);
      taken = at;
    }
  }
  return pieces.length === 0 ? text : pieces.join('') + text.slice(taken);
}

function endOfString(text: string, from: number): number {
  let at = from;
  while (at < text.length && text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at + 1;
}

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;

/** Of `+-.eE` and the digits. The `e` of `true` and `false` is a run of its own, which is no number. */
function isNumeric(code: number): boolean {
  return isDigit(code) || code === 0x2b || code === 0x2d || code === 0x2e || code === 0x65 || code === 0x45;
}

/** A number in the place of a member's name is an error, a string would be none. */
function isKey(text: string, from: number): boolean {
  let at = from;
  while (at < text.length && /\s/.test(text.charAt(at))) at++;
  return text.charCodeAt(at) === COLON;
}
