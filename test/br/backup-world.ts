// What the tests of BR backups share: rows, and the check that what the answers name is exactly what the database held.

import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import { equalBytes, toHex, utf8 } from '../../src/core/bytes.js';
import { Crc64Xor } from '../../src/core/crc64.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { NORMAL_KEYS } from '../../src/core/key-range.js';
import type { BrFile } from '../../src/format/br/messages.js';
import type { BackupContainer, BackupFile, WriteFileOptions } from '../../src/ports/backup-container.js';
import type { BrRangeResponse, BrRangeStored } from '../../src/br/backup/br-range-response.js';
import type { MemoryTxnSource, TxnChange, TxnRow } from '../../src/testing/memory-txn-source.js';
import { expectCover, readAll } from '../snapshot/world.js';

export const key = utf8;

/** `k000`, `k001` …; every fourth value is too long for a write record. */
export function txnRows(count: number, round = 0): TxnChange[] {
  return Array.from({ length: count }, (_, i) => ({
    key: key(`k${String(i).padStart(4, '0')}`),
    value: key(`${round}-${i}-`.repeat(i % 4 === 0 ? 100 : 3)),
  }));
}

export async function collect(responses: AsyncIterable<BrRangeResponse>): Promise<BrRangeResponse[]> {
  const all: BrRangeResponse[] = [];
  for await (const response of responses) all.push(response);
  return all;
}

/** Those that are stored; fails the test when one is not. */
export function stored(responses: readonly BrRangeResponse[]): BrRangeStored[] {
  return responses.map((response) => {
    if (response.files !== undefined) return response;
    throw new Error('a range is not stored', { cause: response.error });
  });
}

/** The rows of each answer against the database; the checksums; the coverage. */
export async function checkAnswers(
  container: BackupContainer,
  answers: readonly BrRangeStored[],
  rowsOf: (range: KeyRange) => readonly TxnRow[],
  ranges: readonly KeyRange[] = [NORMAL_KEYS],
): Promise<void> {
  expectCover(
    answers.map(({ range }) => range),
    ranges,
  );
  const names = answers.flatMap(({ files }) => files.map(({ name }) => name));
  expect(new Set(names).size).toBe(names.length);
  for (const { range, files } of answers) {
    const rows = rowsOf(range);
    expect(files.length === 0).toBe(rows.length === 0);
    expect(sumsOf(files)).toEqual(modelSums(rows));
    for (const file of files) {
      expect(equalBytes(file.startKey, range.begin) && equalBytes(file.endKey, range.end)).toBe(true);
      const bytes = await readAll(container, file.name);
      expect(BigInt(bytes.length)).toBe(file.size);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(toHex(file.sha256));
    }
  }
}

function sumsOf(files: readonly BrFile[]) {
  let [crc, kvs, bytes] = [0n, 0n, 0n];
  for (const file of files) {
    crc ^= file.crc64xor;
    kvs += file.totalKvs;
    bytes += file.totalBytes;
  }
  return { crc, kvs, bytes };
}

function modelSums(rows: readonly TxnRow[]) {
  const crc = new Crc64Xor();
  let bytes = 0;
  for (const row of rows) {
    const value = row.value ?? new Uint8Array(0);
    crc.add(row.key, value);
    bytes += row.key.length + value.length;
  }
  return { crc: BigInt(`0x${crc.digest()}`), kvs: BigInt(rows.length), bytes: BigInt(bytes) };
}

/** What the source gives for (startTs, endTs]. */
export function rowsOf(source: MemoryTxnSource, endTs: bigint, startTs = 0n) {
  return (range: KeyRange) => source.rowsAt(endTs, startTs, range);
}

/** For messages and comparisons. */
export function shown(rows: readonly TxnRow[]): string[] {
  return rows.map(
    ({ key: userKey, value, startTs, commitTs }) =>
      `${toHex(userKey)}=${value === undefined ? 'deleted' : toHex(value)} ${startTs} ${commitTs}`,
  );
}

export interface ContainerHooks {
  /** Before a call; throwing fails it. */
  readonly before?: (call: string, name: string) => void | Promise<void>;
}

/** A container whose calls a test can fail: `writeFile`, `append`, `finish`, `abort`, `readFile`, `deleteFile`. Counts unfinished files. */
export class HookedContainer implements BackupContainer {
  readonly url: string;
  readonly open = new Set<object>();
  readonly #inner: BackupContainer;
  readonly #hooks: ContainerHooks;

  constructor(inner: BackupContainer, hooks: ContainerHooks = {}) {
    this.url = inner.url;
    this.#inner = inner;
    this.#hooks = hooks;
  }

  create(): Promise<void> {
    return this.#inner.create();
  }

  exists(): Promise<boolean> {
    return this.#inner.exists();
  }

  async writeFile(name: string, options?: WriteFileOptions): Promise<BackupFile> {
    const before = async (call: string) => this.#hooks.before?.(call, name);
    await before('writeFile');
    const file = await this.#inner.writeFile(name, options);
    this.open.add(file);
    return {
      name,
      append: async (chunks) => {
        await before('append');
        await file.append(chunks);
      },
      finish: async () => {
        await before('finish');
        await file.finish();
        this.open.delete(file);
      },
      abort: async () => {
        await before('abort');
        await file.abort();
        this.open.delete(file);
      },
    };
  }

  async readFile(name: string, offset: number, length: number): Promise<Uint8Array> {
    await this.#hooks.before?.('readFile', name);
    return this.#inner.readFile(name, offset, length);
  }

  listFiles(prefix: string): ReturnType<BackupContainer['listFiles']> {
    return this.#inner.listFiles(prefix);
  }

  async deleteFile(name: string): Promise<void> {
    await this.#hooks.before?.('deleteFile', name);
    await this.#inner.deleteFile(name);
  }
}
