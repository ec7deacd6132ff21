// A snapshot's manifest: which range files make up one whole snapshot. JSON; keys are byte strings, one character per byte.

import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import type { Version } from '../../core/version.js';
import { MAX_VERSION } from '../../core/version.js';
import { AsciiBuilder } from './ascii-builder.js';

export interface SnapshotManifest {
  /** Both inclusive: the smallest and the largest version of its files. */
  readonly beginVersion: Version;
  readonly endVersion: Version;
  /** Names of range files. */
  readonly files: readonly string[];
  /** Which keys each file covers, by name; old manifests have none. */
  readonly keyRanges: ReadonlyMap<string, KeyRange>;
  readonly totalBytes: number;
}

/** A string may not be longer than some 512 MiB; a manifest of a million files is some 300 MiB. */
export const MAX_MANIFEST_BYTES = 500 << 20;

/**
 * Byte for byte as FoundationDB writes it: no white space, members and files' names in byte order, every byte that is not printable ASCII as \u00XX in upper case.
 * INVALID_OPTION when it would be larger than any reader takes (larger range files make it smaller).
 */
export function encodeSnapshotManifest(manifest: SnapshotManifest): Uint8Array {
  const text = new AsciiBuilder();
  text.add(`{"beginVersion":${manifest.beginVersion},"endVersion":${manifest.endVersion},"files":[`);
  manifest.files.forEach((name, index) => text.add((index === 0 ? '' : ',') + quotedText(name)));
  text.add(']');
  if (manifest.keyRanges.size > 0) {
    text.add(',"keyRanges":{');
    // Names are ASCII: their order as strings is that of their bytes.
    [...manifest.keyRanges.keys()].sort().forEach((name, index) => {
      const range = manifest.keyRanges.get(name) as KeyRange;
      const keys = `{"beginKey":${keyText(range.begin)},"endKey":${keyText(range.end)}}`;
      text.add(`${index === 0 ? '' : ','}${quotedText(name)}:${keys}`);
    });
    text.add('}');
  }
  text.add(`,"totalBytes":${manifest.totalBytes}}`);
  if (text.length > MAX_MANIFEST_BYTES) {
    throw new BackupError(
      'INVALID_OPTION',
      `a manifest of ${manifest.files.length} files would have ${text.length} bytes, more than ${MAX_MANIFEST_BYTES}: make the files larger`,
    );
  }
  return text.build();
}

/** By byte: how it stands in a JSON string. */
const ESCAPED: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const short = { 0x22: '\\"', 0x5c: '\\\\', 0x08: '\\b', 0x0c: '\\f', 0x0a: '\\n', 0x0d: '\\r', 0x09: '\\t' }[byte];
  if (short !== undefined) return short;
  if (byte >= 0x20 && byte < 0x7f) return String.fromCharCode(byte);
  return `\\u00${byte.toString(16).toUpperCase().padStart(2, '0')}`;
});

const PLAIN = /^[ !#-[\]-~]*$/;

/** Every character is a byte. */
function quotedText(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : keyText(Buffer.from(text, 'latin1'));
}

function keyText(key: Uint8Array): string {
  let text = '"';
  for (const byte of key) text += ESCAPED[byte] as string;
  return `${text}"`;
}

/** CORRUPT_FILE for anything but a manifest. */
export function parseSnapshotManifest(bytes: Uint8Array, file: string): SnapshotManifest {
  const refuse = (what: string, cause?: unknown): never => {
    throw new BackupError('CORRUPT_FILE', `${file} ${what}`, { file, offset: 0, cause });
  };
  const fields = parseJson(bytes, refuse);
  const version = (name: string): Version => {
    const value = fields[name];
    if (typeof value !== 'number') return refuse(`has no valid ${name}`);
    // JSON.parse rounds integers above 2^53; those are read from the text instead.
    const exact = Number.isSafeInteger(value) ? BigInt(value) : exactInteger(bytes, name);
    return exact !== undefined && exact >= 0n && exact <= MAX_VERSION ? exact : refuse(`has no valid ${name}`);
  };
  const { files, totalBytes } = fields;
  if (!Array.isArray(files) || !files.every(isByteText)) return refuse('has no list of files');
  if (typeof totalBytes !== 'number' || !Number.isSafeInteger(totalBytes) || totalBytes < 0)
    return refuse('has no valid totalBytes');
  const beginVersion = version('beginVersion');
  const endVersion = version('endVersion');
  if (endVersion < beginVersion) refuse('ends before it begins');
  return { beginVersion, endVersion, files, keyRanges: parseKeyRanges(fields['keyRanges'], refuse), totalBytes };
}

function parseJson(bytes: Uint8Array, refuse: (what: string, cause?: unknown) => never): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(latin1(bytes));
  } catch (cause) {
    return refuse('is not JSON', cause);
  }
  return isObject(value) ? value : refuse('should hold a JSON object');
}

function parseKeyRanges(value: unknown, refuse: (what: string) => never): Map<string, KeyRange> {
  const ranges = new Map<string, KeyRange>();
  if (value === undefined) return ranges;
  if (!isObject(value)) return refuse('has keyRanges that are no object');
  for (const [name, range] of Object.entries(value)) {
    const begin = isObject(range) ? keyBytes(range['beginKey']) : undefined;
    const end = isObject(range) ? keyBytes(range['endKey']) : undefined;
    if (begin === undefined || end === undefined || !isByteText(name))
      return refuse(`has no valid key range for ${JSON.stringify(name.slice(0, 200))}`);
    ranges.set(name, { begin, end });
  }
  return ranges;
}

/** One character per byte, as keys and names are written. */
function isByteText(value: unknown): value is string {
  if (typeof value !== 'string') return false;
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 0xff) return false;
  return true;
}

function keyBytes(value: unknown): Uint8Array | undefined {
  if (!isByteText(value)) return undefined;
  const bytes = new Uint8Array(value.length);
  for (let i = 0; i < value.length; i++) bytes[i] = value.charCodeAt(i);
  return bytes;
}

/** undefined where the text has several, as a member that is doubled or that stands deeper as well: which one JSON.parse has rounded cannot be told. */
function exactInteger(bytes: Uint8Array, name: string): bigint | undefined {
  const found = [...latin1(bytes).matchAll(new RegExp(`"${name}"\\s*:\\s*([^\\s,}]*)`, 'g'))];
  const digits = found.length === 1 ? (found[0]?.[1] ?? '') : '';
  return /^[0-9]{1,19}$/.test(digits) ? BigInt(digits) : undefined;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
