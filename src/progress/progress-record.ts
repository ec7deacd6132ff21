// The files of a FileProgressStore, as bytes: one line with a checksum, then JSON. Pure functions.

import { createHash } from 'node:crypto';
import { BackupError } from '../core/errors.js';
import { isLease, isLeaseKey } from './lease-record.js';
import { ProgressState } from './progress-state.js';
import type { ProgressWrites } from './progress-state.js';

/** Which commit was a client's last: by this a client that is unsure whether its commit took place finds out. */
export type LastCommits = ReadonlyMap<string, number>;

/** A commit: what file `commit-<number>` holds. */
export interface CommitRecord {
  readonly number: number;
  /** The store object that committed it, and its how-many-eth try that was. */
  readonly client: string;
  readonly attempt: number;
  readonly writes: ProgressWrites;
  /** Folder of the next generation: this is the last commit of its own. */
  readonly next: string | undefined;
}

/** All that the commits up to `number` have led to: what file `state` of a generation holds. */
export interface StateRecord {
  readonly number: number;
  readonly state: ProgressState;
  readonly lastCommits: LastCommits;
}

/** What file `genesis` of a store holds: the folder of the first generation. */
export interface GenesisRecord {
  readonly next: string;
}

const MAGIC = 'tidemark-progress-1';

export function encodeCommit(record: CommitRecord): string {
  return seal({
    number: record.number,
    client: record.client,
    attempt: record.attempt,
    writes: [...record.writes].map(([key, value]) => [key, value === undefined ? null : toBase64(value)]),
    next: record.next ?? null,
  });
}

export function decodeCommit(text: string, file: string): CommitRecord {
  const json = unseal(text, file);
  const { number, client, attempt, next } = json;
  if (!isCount(number) || typeof client !== 'string' || !isCount(attempt)) {
    throw corrupt(file, 'a commit without its number, client or attempt');
  }
  if (next !== null && !isFolderName(next)) throw corrupt(file, 'a commit whose next folder is no name');
  return { number, client, attempt, writes: decodeEntries(json['writes'], file), next: next ?? undefined };
}

export function encodeState(record: StateRecord): string {
  return seal({
    number: record.number,
    entries: record.state.writes().map(([key, value]) => [key, toBase64(value)]),
    lastCommits: [...record.lastCommits],
  });
}

export function decodeState(text: string, file: string): StateRecord {
  const json = unseal(text, file);
  const { number } = json;
  if (!isCount(number)) throw corrupt(file, 'a state without its number');
  const lastCommits = new Map<string, number>();
  for (const pair of asArray(json['lastCommits'], file)) {
    const [client, attempt] = asArray(pair, file);
    if (typeof client !== 'string' || !isCount(attempt)) throw corrupt(file, 'a bad entry among the last commits');
    lastCommits.set(client, attempt);
  }
  return { number, state: ProgressState.empty.with(decodeEntries(json['entries'], file)), lastCommits };
}

export function encodeGenesis(record: GenesisRecord): string {
  return seal({ next: record.next });
}

export function decodeGenesis(text: string, file: string): GenesisRecord {
  const { next } = unseal(text, file);
  if (!isFolderName(next)) throw corrupt(file, 'no first folder');
  return { next };
}

function seal(json: object): string {
  const body = JSON.stringify(json);
  return `${MAGIC} ${checksum(body)}\n${body}\n`;
}

function unseal(text: string, file: string): Record<string, unknown> {
  const lineEnd = text.indexOf('\n');
  const [magic, expected] = text.slice(0, Math.max(lineEnd, 0)).split(' ');
  if (magic !== MAGIC) throw corrupt(file, `it does not begin with "${MAGIC}"`);
  const body = text.slice(lineEnd + 1, -1);
  if (!text.endsWith('\n') || checksum(body) !== expected) throw corrupt(file, 'its checksum is wrong');
  const json = parseJson(body, file);
  if (typeof json !== 'object' || json === null) throw corrupt(file, 'it holds no object');
  return json as Record<string, unknown>;
}

function parseJson(body: string, file: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw corrupt(file, 'it holds no JSON');
  }
}

function decodeEntries(json: unknown, file: string): Map<string, Uint8Array | undefined> {
  const entries = new Map<string, Uint8Array | undefined>();
  for (const pair of asArray(json, file)) {
    const [key, value] = asArray(pair, file);
    if (typeof key !== 'string' || (value !== null && typeof value !== 'string')) throw corrupt(file, 'a bad entry');
    const bytes = value === null ? undefined : new Uint8Array(Buffer.from(value, 'base64'));
    if (bytes !== undefined && isLeaseKey(key) && !isLease(bytes)) throw corrupt(file, `no lease is at ${key}`);
    entries.set(key, bytes);
  }
  return entries;
}

function isCount(json: unknown): json is number {
  return typeof json === 'number' && Number.isSafeInteger(json) && json >= 0;
}

/** `<number>-<uid>`: it becomes part of a path. */
function isFolderName(json: unknown): json is string {
  return typeof json === 'string' && /^[0-9]{1,15}-[0-9a-f]{1,64}$/.test(json);
}

function asArray(json: unknown, file: string): readonly unknown[] {
  if (!Array.isArray(json)) throw corrupt(file, 'a list is missing');
  return json;
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function checksum(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}

function corrupt(file: string, reason: string): BackupError {
  return new BackupError('STORE_CORRUPT', `${file} is damaged or was not written by this library: ${reason}`, { file });
}
