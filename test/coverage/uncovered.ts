// From a coverage report and the source to the places that did not run, each named by its text: a name that stays true when the code around it moves.

import type { FileReport, Location, Position } from './report.js';

/** A place that did not run: the largest one that none around it explains, so that a function that was never called is one place. */
export interface UncoveredPlace {
  /** From the root of the repository. */
  readonly file: string;
  /** From 1. For whoever looks it up: not part of the name. */
  readonly line: number;
  /** The trimmed text of the line. */
  readonly code: string;
  /** What of the line did not run, when the rest did; or `never true`, `never false` of an `if`. */
  readonly part: string | undefined;
}

/** Offsets into the source: `begin` inclusive, `end` exclusive. */
interface Span {
  readonly begin: number;
  readonly end: number;
  /** Statements that follow each other are one place. */
  readonly isStatement?: boolean;
  /** What of the line it is; otherwise worked out from the text. */
  readonly label?: 'never true' | 'never false';
  /** Of an `if` that was always true: where it ends. What follows it and did not run either is no news. */
  readonly after?: number;
}

/** Longest `part`, in characters. */
const PART_LENGTH = 80;

export function uncoveredPlaces(file: string, report: FileReport, source: string): UncoveredPlace[] {
  const text = new SourceText(source);
  const spans = [...statements(report, text), ...functions(report, text), ...branchArms(report, text)];
  // Outer ones first: of two that begin at one place the longer one.
  spans.sort((a, b) => a.begin - b.begin || b.end - a.end);
  const places: UncoveredPlace[] = [];
  let reach = -1;
  /** Where the last statement that did not run ends, and the last `if` that was always true: the next statement belongs to it. */
  let statementEnd: number | undefined;
  let ifEnd: number | undefined;
  for (const span of spans) {
    if (span.end <= reach) continue;
    const isNext = (end: number | undefined) => end !== undefined && text.isGlue(end, span.begin);
    const goesOn = span.isStatement === true && (isNext(statementEnd) || isNext(ifEnd));
    if (!goesOn) places.push({ file, ...text.name(span) });
    statementEnd = span.isStatement === true ? span.end : undefined;
    ifEnd = span.after ?? ifEnd;
    reach = Math.max(reach, span.end);
  }
  return places;
}

function* statements({ statementMap, s }: FileReport, text: SourceText): Generator<Span> {
  for (const [id, location] of Object.entries(statementMap)) if (s[id] === 0) yield { ...text.span(location), isStatement: true };
}

function* functions({ fnMap, f }: FileReport, text: SourceText): Generator<Span> {
  for (const [id, { decl, loc }] of Object.entries(fnMap))
    if (f[id] === 0) yield text.span({ start: decl.start, end: loc.end });
}

function* branchArms({ branchMap, b, s, statementMap }: FileReport, text: SourceText): Generator<Span> {
  const idle = new Set(Object.entries(statementMap).flatMap(([id, { start }]) => (s[id] === 0 ? [place(start)] : [])));
  for (const [id, { type, loc, locations }] of Object.entries(branchMap)) {
    const hits = b[id] ?? [];
    if (type === 'if') {
      // An `if` that never ran is a statement that never ran.
      if (!idle.has(place(loc.start))) yield* ifArms(loc, locations, hits, text);
      continue;
    }
    for (const [arm, location] of locations.entries()) if (hits[arm] === 0) yield text.span(location);
  }
}

/** The report gives the whole `if` for its first arm, and for the second its block, or nothing where no `else` is written. */
function* ifArms(
  loc: Location,
  locations: readonly Location[],
  hits: readonly number[],
  text: SourceText,
): Generator<Span> {
  const whole = text.span(loc);
  const otherwise = locations[1];
  const elseArm = otherwise === undefined || typeof otherwise.start.line !== "number" ? undefined : text.span(otherwise);
  if (hits[0] === 0) yield { begin: whole.begin, end: elseArm?.begin ?? whole.end, label: 'never true' };
  if (locations.length < 2 || hits[1] !== 0) return;
  if (elseArm !== undefined) yield elseArm;
  // Only the missing path did not run: nothing of the text is inside.
  else yield { begin: whole.begin, end: whole.begin, label: 'never false', after: whole.end };
}

function place({ line, column }: Position): string {
  return `${line ?? ''}:${column ?? ''}`;
}

/** V8's ranges go on to what comes next: without what belongs to the code around, from the first bracket on that closes none of its own. */
function withoutRest(text: string): string {
  const open: string[] = [];
  let end = text.length;
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if ('([{'.includes(character)) open.push(character);
    else if (')]}'.includes(character) && open.pop() === undefined) {
      end = at;
      break;
    }
  }
  return text.slice(0, end).replace(/[\s;,:?]+$/, '').trim();
}

class SourceText {
  readonly #source: string;
  /** Offset of each line's begin. */
  readonly #lines: number[] = [0];

  constructor(source: string) {
    this.#source = source;
    for (let at = source.indexOf('\n'); at >= 0; at = source.indexOf('\n', at + 1)) this.#lines.push(at + 1);
  }

  span({ start, end }: Location): Span {
    return { begin: this.#offset(start), end: this.#offset(end) };
  }

  /** Whether nothing that could run lies between: then two spans are one place. */
  isGlue(from: number, to: number): boolean {
    if (from > to) return false;
    const between = this.#source.slice(from, to).replaceAll(/\/\/.*$/gm, '');
    return /^[\s;]*((const|let) [^;=]+=\s*)?$/.test(between);
  }

  name(span: Span): { line: number; code: string; part: string | undefined } {
    let begin = span.begin;
    // `{` at the end of a line that says nothing else (`} else {`): its first line inside says more.
    if (/^\{\s*\n/.test(this.#source.slice(begin, begin + 200)) && /^\W*else\s*$/.test(this.#before(begin)))
      begin += /^\{\s*/.exec(this.#source.slice(begin))?.[0].length ?? 0;
    const line = this.#lineAt(begin);
    const code = this.#lineText(line).trim();
    return { line: line + 1, code, part: span.label ?? this.#part(begin, span.end) };
  }

  /** Undefined when nothing before it on the line could run by itself. */
  #part(begin: number, end: number): string | undefined {
    if (/^\s*((export )?(const|let) .*=\s*|\}?\s*else\s*|(export )?(default )?(async )?function\s*\*?\s*)?$/.test(this.#before(begin))) return undefined;
    const text = withoutRest(this.#source.slice(begin, end).replaceAll(/\s+/g, ' '));
    return text.length > PART_LENGTH ? `${text.slice(0, PART_LENGTH - 1)}…` : text;
  }

  #before(offset: number): string {
    return this.#source.slice(this.#lines[this.#lineAt(offset)], offset);
  }

  #lineAt(offset: number): number {
    let low = 0;
    let high = this.#lines.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#lines[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #lineText(line: number): string {
    return this.#source.slice(this.#lines[line], (this.#lines[line + 1] ?? this.#source.length + 1) - 1);
  }

  #offset({ line, column }: Position): number {
    const index = (line ?? 1) - 1;
    const begin = this.#lines[index] ?? this.#source.length;
    return begin + (column ?? this.#lineText(index).length);
  }
}
