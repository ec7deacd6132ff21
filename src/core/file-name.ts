// What a file in a container may be called, and in which order names are listed.

import { BackupError } from './errors.js';

/** What files are called until they are finished; FoundationDB's own containers use both. Never listed, read or written. */
const UNFINISHED_NAME = /\.(?:temp|part)$/;

const UNFINISHED = 'names that end in .temp or .part belong to unfinished files';

/** Half of a surrogate pair: such a string has no UTF-8 form, so two names could become one. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Whether the name is one of a file that was never finished. */
export function isUnfinishedName(name: string): boolean {
  return UNFINISHED_NAME.test(name);
}

/** Throws INVALID_NAME unless `name` may be a file of a container (see BackupContainer). Every adapter calls it first. */
export function checkFileName(name: string): void {
  const reason = typeof name === 'string' ? fileNameProblem(name) : 'it is not a string';
  if (reason !== undefined) {
    throw new BackupError('INVALID_NAME', `${JSON.stringify(name)} cannot name a file in a container: ${reason}`, {
      file: name,
    });
  }
}

/** All names that we write are of these characters. Listings have millions of names: what is plain is not taken apart. */
const PLAIN_NAME = /^[\w,=-][\w.,=/-]*$/;

function isPlain(name: string): boolean {
  return PLAIN_NAME.test(name) && !name.includes('//') && !name.includes('/.') && !name.endsWith('/');
}

/** Why `name` cannot be a file of a container; undefined when it can. */
export function fileNameProblem(name: string): string | undefined {
  const unfinished = isUnfinishedName(name) ? UNFINISHED : undefined;
  if (isPlain(name)) return unfinished;
  if (name === '') return 'it is empty';
  if (name.startsWith('/')) return 'it is absolute';
  if (name.includes('\0')) return 'it has a NUL';
  if (name.includes('\\')) return 'it has a backslash';
  if (LONE_SURROGATE.test(name)) return 'it has half a surrogate pair';
  for (const part of name.split('/')) {
    if (part === '') return 'it has an empty part';
    if (part === '.' || part === '..') return `it has a part "${part}"`;
  }
  return unfinished;
}

/**
 * Compares names as the bytes of their UTF-8 form. Differs from comparing code units only where one string has a surrogate
 * pair and the other a character from U+E000 to U+FFFF.
 */
export function compareFileNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return codePointRank(x) - codePointRank(y);
  }
  return a.length - b.length;
}

/** Moves surrogates above U+E000 … U+FFFF, where their code points are. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
