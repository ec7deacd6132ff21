// A file that is far larger than what a restore may hold of it.

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { restoreBrBackup } from '../../src/br/restore/restore-br.js';
import { Crc64Xor } from '../../src/core/crc64.js';
import { loadBrMessages } from '../../src/format/br/proto/load.js';
import { SstWriter } from '../../src/format/sst/sst-writer.js';
import type { RestoreCheckpoint, RestoreTarget } from '../../src/ports/restore-target.js';
import { pressFor } from '../format/sst/write-rows.js';
import { newContainer, putFile } from './restore-backups.js';

const MIB = 1 << 20;
const ROWS = 3000;
const VALUE = new Uint8Array(32 << 10).fill(7);

describe('the memory of a restore', () => {
  it('does not grow with the size of a file', { timeout: 60_000 }, async () => {
    const container = await newContainer();
    const name = '1/1_1_default.sst';
    const file = await container.writeFile(name);
    const hash = createHash('sha256');
    const sink = {
      append: (chunks: readonly Uint8Array[]) => {
        for (const chunk of chunks) hash.update(chunk);
        return file.append(chunks);
      },
    };
    const crc = new Crc64Xor();
    const writer = new SstWriter({ sink, press: await pressFor('none') });
    for (let i = 0; i < ROWS; i++) {
      const key = Buffer.from(`z${String(i).padStart(8, '0')}`);
      writer.add(key, VALUE);
      crc.add(key.subarray(1), VALUE);
      if (writer.pendingBytes > 0) await writer.flush();
    }
    const { size } = await writer.finish();
    await file.finish();
    expect(size).toBeGreaterThan(90 * MIB);
    const messages = await loadBrMessages();
    const meta = messages.encode('BackupMeta', {
      isRawKv: true,
      files: [
        {
          name,
          cf: 'default',
          sha256: hash.digest(),
          size: BigInt(size),
          totalKvs: BigInt(ROWS),
          totalBytes: BigInt(ROWS * (8 + VALUE.length)),
          crc64xor: BigInt(`0x${crc.digest()}`),
        },
      ],
    });
    await putFile(container, 'backupmeta', meta);
    const before = used();
    let most = 0;
    const target = new Drain(() => (most = Math.max(most, used() - before)));
    const { rows } = await restoreBrBackup({ chain: [{ container }], target });
    expect(rows).toBe(ROWS);
    expect(target.operations).toBe(ROWS);
    // What waits for the collector counts, too.
    expect(most).toBeLessThan(60 * MIB);
  });
});

function used(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Keeps nothing but its checkpoint. */
class Drain implements RestoreTarget {
  operations = 0;
  readonly #onApply: () => void;
  #checkpoint: RestoreCheckpoint | undefined;

  constructor(onApply: () => void) {
    this.#onApply = onApply;
  }

  read(keys: readonly Uint8Array[]): Promise<readonly undefined[]> {
    return Promise.resolve(keys.map(() => undefined));
  }

  apply(operations: readonly unknown[], checkpoint: RestoreCheckpoint): Promise<void> {
    this.operations += operations.length;
    this.#checkpoint = checkpoint;
    this.#onApply();
    return Promise.resolve();
  }

  checkpoint(): Promise<RestoreCheckpoint | undefined> {
    return Promise.resolve(this.#checkpoint);
  }

  isEmpty(): Promise<boolean> {
    return Promise.resolve(true);
  }
}
