// JSON with a checksum of its own at its end. Files that hold checksums of other files must not accuse those of damage that is their own.
//
// {…,"check":"<crc32 of all bytes before the comma, 8 hex digits>"}

import { crc32 } from '../../core/crc32.js';
import { BackupError } from '../../core/errors.js';
import type { AsciiBuilder } from './ascii-builder.js';

const TAIL = /^,"check":"([0-9a-f]{8})"\}$/;
const TAIL_BYTES = ',"check":"01234567"}'.length;

/** Throws for a file that is not what its writer wrote. */
export type Refuse = (what: string, cause?: unknown) => never;

export function refuseFile(file: string): Refuse {
  return (what, cause) => {
    throw new BackupError('CORRUPT_FILE', `${file} ${what}`, { file, offset: 0, cause });
  };
}

/** `text` is an object without its closing brace, and has one member at least. */
export function closeCheckedJson(text: AsciiBuilder): Uint8Array {
  let crc = 0;
  for (const piece of text.pieces()) crc = crc32(piece, crc);
  text.add(`,"check":"${crcHex(crc)}"}`);
  return text.build();
}

/** CORRUPT_FILE for anything that closeCheckedJson did not make. */
export function parseCheckedJson(bytes: Uint8Array, refuse: Refuse): Record<string, unknown> {
  const end = Math.max(0, bytes.length - TAIL_BYTES);
  const check = TAIL.exec(latin1(bytes.subarray(end)))?.[1];
  if (check === undefined) return refuse('does not end with its checksum');
  if (check !== crcHex(crc32(bytes.subarray(0, end)))) return refuse('is damaged: its own checksum is not right');
  let value: unknown;
  try {
    value = JSON.parse(latin1(bytes));
  } catch (cause) {
    return refuse('is not JSON', cause);
  }
  return isObject(value) ? value : refuse('should hold a JSON object');
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A whole number that a float64 holds exactly, from `least` on. */
export function isCount(value: unknown, least = 0): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least;
}

export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function crcHex(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}

/** Eight hex digits each, one after another. */
export function crcsToHex(crcs: Uint32Array): string {
  let text = '';
  for (const crc of crcs) text += crcHex(crc);
  return text;
}

/** undefined unless `text` is exactly `count` checksums. */
export function crcsFromHex(text: unknown, count: number): Uint32Array | undefined {
  if (typeof text !== 'string' || text.length !== count * 8 || !/^[0-9a-f]*$/.test(text)) return undefined;
  const crcs = new Uint32Array(count);
  for (let i = 0; i < count; i++) crcs[i] = parseInt(text.slice(i * 8, i * 8 + 8), 16);
  return crcs;
}
