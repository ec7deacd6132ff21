import { afterAll, describe, expect, it } from 'vitest';
import type { BrMessageType } from '../../../src/format/br/message-codec.js';
import { loadBrMessages } from '../../../src/format/br/proto/load.js';
import { toolMissing } from '../../servers/judges.js';
import { MESSAGES, protocDecode, protocEncode, protoFiles } from './brpb.js';
import { chance, sampleMessage } from './meta-values.js';

const TYPES: readonly BrMessageType[] = [
  'BackupMeta',
  'MetaFile',
  'File',
  'Schema',
  'RawRange',
  'BackupRequest',
  'BackupResponse',
  'StorageBackend',
  'Error',
];
const SAMPLES = 8;

const why = toolMissing('protoc');
const messages = await loadBrMessages();

/** Nothing of the library's own: how it treats bytes that protoc has written, and protoc those of the library. */
describe.skipIf(why !== undefined)(`messages, judged by protoc${why === undefined ? '' : ` (${why})`}`, () => {
  const files = why === undefined ? protoFiles() : undefined;
  afterAll(() => files?.dispose());

  it.each(TYPES)('%s is read as protoc wrote it, and written as protoc reads it', async (type) => {
    if (files === undefined) return;
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = chance(seed);
    for (let i = 0; i < SAMPLES; i++) {
      const { text, value } = sampleMessage(random, `backup.${type}`, [0, 1, 0.5][i % 3] ?? 0.5);
      const bytes = await protocEncode(files, `backup.${type}`, text);
      const decoded = messages.decode(type, bytes);
      expect(decoded, `seed ${seed}, sample ${i}`).toEqual(value);
      const encoded = messages.encode(type, decoded);
      const readByProtoc = await protocDecode(files, `backup.${type}`, encoded);
      expect(readByProtoc, `seed ${seed}, sample ${i}`).toBe(await protocDecode(files, `backup.${type}`, bytes));
      // Fields by number, packed lists, the shortest varints: what protoc writes, but for the order of a map's entries and of fields in its hands.
      expect(Buffer.from(encoded).toString('hex').length).toBe(bytes.toString('hex').length);
    }
  });
});

describe('messages', () => {
  it('has a listing for every message that it writes', () => {
    expect(Object.keys(MESSAGES)).toEqual(expect.arrayContaining(TYPES.map((type) => `backup.${type}`)));
  });
});
