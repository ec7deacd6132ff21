// Files of SstWriter, read back and verified by SstReader: where no judge is installed, this is what holds the two together.

import { expect, it } from 'vitest';

import { SstReader } from '../../../src/format/sst/sst-reader.js';
import { binaryRows, plainRows, sharedPrefixRows } from './row-sets.js';
import { COMPRESSIONS, pressFor, type Row, writeSst } from './write-rows.js';

const VERSIONS = [2, 3, 4, 5] as const;

it.each(COMPRESSIONS)('every row comes back, with what is said of the file: %s', async (compression) => {
  const press = await pressFor(compression);
  for (const [i, rows] of [binaryRows(31, 300), plainRows(700), sharedPrefixRows(20), plainRows(1)].entries()) {
    for (const formatVersion of VERSIONS) {
      const blockSize = [200, 4_096, 65_536][(i + formatVersion) % 3] ?? 4_096;
      const { bytes, summary } = await writeSst(rows, {
        press,
        formatVersion,
        blockSize,
        restartInterval: formatVersion,
      });
      const reader = await SstReader.open({
        name: 'written.sst',
        size: bytes.length,
        read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
      });
      const { entries, smallestKey, largestKey, rawKeyBytes, rawValueBytes } = await reader.verify();
      expect({ entries, smallestKey, largestKey, rawKeyBytes: rawKeyBytes - 8 * entries, rawValueBytes }).toEqual({
        entries: summary.entries,
        smallestKey: summary.smallestKey,
        largestKey: summary.largestKey,
        rawKeyBytes: summary.rawKeyBytes,
        rawValueBytes: summary.rawValueBytes,
      });
      const read: Row[] = [];
      for await (const batch of reader.rows()) {
        for (let at = 0; at < batch.count; at++) read.push([batch.key(at).slice(), batch.value(at).slice()]);
      }
      expect(hex(read)).toEqual(hex(rows));
    }
  }
});

function hex(rows: readonly Row[]): string[] {
  return rows.map(([key, value]) => `${Buffer.from(key).toString('hex')} ${Buffer.from(value).toString('hex')}`);
}
