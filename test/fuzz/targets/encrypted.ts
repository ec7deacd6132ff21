// Encrypted containers: every byte that is stored may have been changed, and what is read is what was written, or DECRYPTION_FAILED.

import { openEncryptedContainer } from '../../../src/container/encrypted-container.js';
import { MemoryContainer } from '../../../src/container/memory-container.js';
import { BackupError } from '../../../src/core/errors.js';
import { KEY_CHECK_NAME, PROPERTY } from '../../../src/format/fdb/properties.js';
import { KEY, LOG, get, pattern, put } from '../../container/encrypted-tools.js';
import { randomBytes } from '../mutate.js';
import type { FuzzTarget, Verdict } from '../target.js';
import { must, mustEqual } from '../target.js';
import { InputReader, withHeader } from './inputs.js';

const BLOCK = 512;
const PLAINTEXT = pattern(1300);
const FILES = [LOG, PROPERTY.encryptionMetadata, KEY_CHECK_NAME] as const;

interface Stored {
  readonly content: ReadonlyMap<string, Uint8Array>;
}

let stored: Promise<Stored> | undefined;

async function makeStored(): Promise<Stored> {
  const inner = new MemoryContainer();
  // The key check's salt is the only chance in it.
  const random = { next: () => 0.5, uid: () => '5a'.repeat(16) };
  const container = await openEncryptedContainer(inner, { key: KEY, blockSize: BLOCK, random });
  await container.create();
  await put(container, LOG, PLAINTEXT);
  const content = new Map<string, Uint8Array>();
  for (const name of FILES) content.set(name, await get(inner, name));
  return { content };
}

/** First byte: which of the files the rest is, instead of its own; four more: what is read. */
export const encryptedFile: FuzzTarget = {
  name: 'encrypted-file',
  weight: 1.5,
  form: 'bytes',
  maxBytes: 3000,
  memory: { fixed: 1 << 20, perByte: 512 },
  batch: 16,
  codes: [
    'DECRYPTION_FAILED',
    'CORRUPT_FILE',
    'UNSUPPORTED_FORMAT',
    'ENCRYPTION_KEY_WRONG',
    'INVALID_STATE',
    'INVALID_OPTION',
  ],
  dictionary: ['"encryption_block_size":', '1073741824', '1073741825', '9007199254740991', '{"salt":"'].map((text) =>
    Buffer.from(text),
  ),
  async seeds(random) {
    const { content } = await (stored ??= makeStored());
    const seeds: Uint8Array[] = [];
    FILES.forEach((name, i) => {
      const bytes = content.get(name) as Uint8Array;
      for (let n = 0; n < 4; n++) seeds.push(withHeader([i, ...randomBytes(random, 4)], bytes));
    });
    for (const blockSize of [511, 513, 1 << 30, (1 << 30) + 1, Number.MAX_SAFE_INTEGER, 1]) {
      const text = `{"is_encryption_enabled":true,"encryption_block_size":${blockSize}}`;
      seeds.push(withHeader([1, 0, 0, 0xff, 0xff], Buffer.from(text)));
    }
    return seeds;
  },
  async run(input): Promise<Verdict> {
    const { content } = await (stored ??= makeStored());
    const reader = new InputReader(input);
    const changed = reader.byte() % FILES.length;
    const [offset, length] = [reader.u16() % 1500, reader.u16() % 1500];
    const inner = new MemoryContainer();
    await inner.create();
    const bytes = reader.rest();
    for (const [i, name] of FILES.entries())
      await put(inner, name, i === changed ? bytes : (content.get(name) as Uint8Array));
    const container = await openEncryptedContainer(inner, { key: KEY });
    const read = await container.readFile(LOG, offset, length);
    const expected = PLAINTEXT.subarray(offset, offset + length);
    mustEqual(read, expected.subarray(0, read.length), `bytes ${offset} to ${offset + length}`);
    for await (const { name, size } of container.listFiles('plogs/')) {
      must(Number.isSafeInteger(size) && size >= 0, `${name} has ${size} bytes`);
      // Of a file that was cut, or with another block size, there may be less: then its size says so, and the checksums beside it.
      must(
        read.length === expected.length || size <= offset + read.length,
        `${read.length} bytes at ${offset} of ${size}`,
      );
    }
    await readAround(container, offset);
    return 'accepted';
  },
};

/** Reads far behind the end give nothing, and take nothing. */
async function readAround(
  container: Awaited<ReturnType<typeof openEncryptedContainer>>,
  offset: number,
): Promise<void> {
  for (const [at, length] of [
    [2 ** 53 - 1 - offset, 1],
    [2 ** 31 + offset, 2 ** 31],
    [offset, 2 ** 53 - 1 - offset],
  ] as const) {
    try {
      await container.readFile(LOG, at, length);
    } catch (error) {
      if (!BackupError.is(error, 'DECRYPTION_FAILED') && !BackupError.is(error, 'INVALID_STATE')) throw error;
    }
  }
}
