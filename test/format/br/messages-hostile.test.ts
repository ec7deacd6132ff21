import { afterAll, describe, expect, it } from 'vitest';
import { BackupError } from '../../../src/core/errors.js';
import { utf8 } from '../../../src/core/bytes.js';
import type { BrMessageType } from '../../../src/format/br/message-codec.js';
import { loadBrMessages } from '../../../src/format/br/proto/load.js';
import { toolMissing } from '../../servers/judges.js';
import { fieldsOf, protocDecode, protocEncode, protoFiles } from './brpb.js';
import { chance, sampleMessage } from './meta-values.js';

const messages = await loadBrMessages();
const corrupt = expect.objectContaining({ code: 'CORRUPT_FILE', file: 'backupmeta' }) as Error;

const decodeMeta = (...bytes: readonly (number | Uint8Array)[]) =>
  messages.decode('BackupMeta', join(...bytes), { file: 'backupmeta' });

/** Wire types. */
const [VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32] = [0, 1, 2, 3, 4, 5] as const;

function join(...parts: readonly (number | Uint8Array)[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts.map((part) => (typeof part === 'number' ? Uint8Array.of(part) : part))));
}

function varint(value: bigint | number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Uint8Array.of(...bytes, Number(rest));
}

const tag = (no: number, wireType: number) => varint((no << 3) | wireType);
const field = (no: number, ...content: readonly (number | Uint8Array)[]) => {
  const bytes = join(...content);
  return join(tag(no, BYTES), varint(bytes.length), bytes);
};

/** One of each wire type, under numbers that no message of the protocol has. */
const UNKNOWN = join(
  tag(3000, VARINT),
  varint((1n << 64n) - 1n),
  tag(3001, FIXED64),
  new Uint8Array(8).fill(9),
  field(3002, utf8('of a later release')),
  tag(3003, FIXED32),
  new Uint8Array(4).fill(8),
);

describe('what a message holds that this release does not know', () => {
  it('is kept, and written again, in a message, in one inside of it, in items of lists and in alternatives', () => {
    const bytes = messages.encode('BackupResponse', {
      unknown: UNKNOWN,
      files: [{ name: 'a', unknown: UNKNOWN, tableMetas: [{ physicalId: 1n, unknown: UNKNOWN }] }],
      error: {
        unknown: UNKNOWN,
        detail: { kind: 'region', unknown: UNKNOWN, notLeader: { leader: { id: 3n, unknown: UNKNOWN } } },
      },
    });
    const decoded = messages.decode('BackupResponse', bytes);
    expect(decoded.unknown).toEqual(UNKNOWN);
    expect(decoded.files[0]?.unknown).toEqual(UNKNOWN);
    expect(decoded.files[0]?.tableMetas[0]?.unknown).toEqual(UNKNOWN);
    expect(decoded.error?.unknown).toEqual(UNKNOWN);
    expect(decoded.error?.detail).toMatchObject({ unknown: UNKNOWN, notLeader: { leader: { unknown: UNKNOWN } } });
    expect(messages.encode('BackupResponse', decoded)).toEqual(bytes);
  });

  it('is joined from all parts in which a message comes', () => {
    const one = field(3002, 1);
    const other = field(3002, 2);
    const index = (content: Uint8Array) => field(13, content);
    const meta = decodeMeta(index(one), field(2, utf8('v8')), index(other), index(field(1, field(1, utf8('leaf')))));
    expect(meta.fileIndex?.unknown).toEqual(join(one, other));
    expect(meta.fileIndex?.metaFiles[0]?.name).toBe('leaf');
  });

  it('does not take longer the more parts there are', () => {
    const part = field(13, field(3002, 1));
    const parts = 200_000;
    const bytes = Buffer.concat(Array.from({ length: parts }, () => part));
    expect(decodeMeta(bytes).fileIndex?.unknown?.length).toBe(parts * field(3002, 1).length);
  });

  it('is the number of an enum, too', () => {
    const bytes = messages.encode('BackupMeta', { endVersion: 1n, apiVersion: 77, mode: -1 });
    const meta = messages.decode('BackupMeta', bytes);
    expect(meta).toMatchObject({ apiVersion: 77, mode: -1 });
    expect(messages.encode('BackupMeta', meta)).toEqual(bytes);
    // A name and its number are the same.
    expect(messages.encode('BackupMeta', { apiVersion: 2 })).toEqual(
      messages.encode('BackupMeta', { apiVersion: 'v2' }),
    );
  });

  it('is a field of another wire type than ours, whose number is known', () => {
    const odd = join(tag(1, FIXED64), new Uint8Array(8).fill(1), field(8, utf8('true')), tag(4, VARINT), 5);
    const meta = decodeMeta(odd, tag(5, VARINT), 9);
    expect(meta).toMatchObject({ clusterId: 0n, isRawKv: false, files: [], startVersion: 9n });
    expect(meta.unknown).toEqual(odd);
    // A view, whatever number of fields it has: each may have two bytes, a view has a hundred.
    expect(meta.unknown?.buffer.byteLength).toBeGreaterThan(odd.length);
  });

  it('may be a group, though the protocol has none', () => {
    const group = join(tag(3000, GROUP), tag(1, VARINT), 5, tag(2, GROUP), tag(2, END_GROUP), tag(3000, END_GROUP));
    expect(decodeMeta(group).unknown).toEqual(group);
  });
});

describe('what protobuf allows', () => {
  it('numbers in a list one by one or packed, and both', () => {
    const diskFull = field(15, field(1, varint(300), 2), tag(1, VARINT), 7, field(1));
    const error = messages.decode('Error', field(5, diskFull));
    expect(error.detail).toMatchObject({ kind: 'region', diskFull: { storeIds: [300n, 2n, 7n] } });
  });

  it('the last of several values, and the last of several alternatives', () => {
    expect(decodeMeta(tag(1, VARINT), 5, tag(1, VARINT), 6).clusterId).toBe(6n);
    const { backend } = messages.decode(
      'StorageBackend',
      join(field(2, field(1, utf8('/a'))), field(6, field(1, utf8('h')))),
    );
    expect(backend).toEqual({ kind: 'hdfs', remote: 'h' });
  });

  it('parts of one alternative, merged', () => {
    const { backend } = messages.decode(
      'StorageBackend',
      join(field(3, field(1, utf8('e'))), field(3, field(3, utf8('b')))),
    );
    expect(backend).toMatchObject({ kind: 's3', endpoint: 'e', bucket: 'b' });
  });

  it('entries of a map without key or value, and a key twice', () => {
    const entry = (...content: Uint8Array[]) => field(10, ...content);
    const key = field(1, utf8('p'));
    const yes = join(tag(2, VARINT), 1);
    const { partitionMergeOptionAllowed } = messages.decode('Schema', join(entry(key, yes), entry(yes), entry(key)));
    expect(partitionMergeOptionAllowed).toEqual(
      new Map([
        ['p', false],
        ['', true],
      ]),
    );
    const proto = messages.decode('Schema', entry(field(1, utf8('__proto__')), yes));
    expect(proto.partitionMergeOptionAllowed).toEqual(new Map([['__proto__', true]]));
  });
});

describe('bytes that are no message', () => {
  it.each<[string, readonly (number | Uint8Array)[]]>([
    ['a tag without a value', [tag(1, VARINT)]],
    ['half a tag', [0x80]],
    ['a tag of six bytes', [0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1]],
    ['field number 0', [0x00, 1]],
    ['wire type 6', [tag(3000, 6), 1]],
    ['wire type 7 under a known number', [tag(1, 7), 1]],
    ['a number of eleven bytes', [tag(1, VARINT), new Uint8Array(10).fill(0x80), 1]],
    ['an unknown number of eleven bytes', [tag(3000, VARINT), new Uint8Array(10).fill(0x80), 1]],
    ['a length beyond the end', [tag(2, BYTES), 5, utf8('four')]],
    ['a length of 2^32 + 1', [tag(2, BYTES), 0x81, 0x80, 0x80, 0x80, 0x10, utf8('x')]],
    ['a length of 2^35 in six bytes', [tag(2, BYTES), 0x81, 0x80, 0x80, 0x80, 0x80, 0x01, utf8('x')]],
    ['an unknown field beyond the end', [tag(3000, BYTES), 5, 1]],
    ['an unknown fixed64 of seven bytes', [tag(3000, FIXED64), new Uint8Array(7)]],
    ['an unknown fixed32 of three bytes', [tag(3000, FIXED32), new Uint8Array(3)]],
    ['text that is not UTF-8', [field(2, 0xff)]],
    ['text that is half a surrogate pair', [field(2, 0xed, 0xa0, 0x80)]],
    ['text that is not UTF-8, in a list', [field(4, field(1, new Uint8Array(40).fill(0xc3)))]],
    ['a file whose name goes on behind the file', [field(4, tag(1, BYTES), 3, utf8('x')), utf8('yz')]],
    ['a file whose number goes on behind the file', [field(4, tag(5, VARINT), 0x80), 0x01]],
    ['a group that does not end', [tag(3000, GROUP), tag(1, VARINT), 5]],
    ['a group that ends as another', [tag(3000, GROUP), tag(3001, END_GROUP)]],
    ['an end without a group', [tag(3000, END_GROUP)]],
    ['a million groups in one another', [Buffer.concat(Array.from({ length: 1_000_000 }, () => tag(3000, GROUP)))]],
  ])('%s', (_name, bytes) => {
    expect(() => decodeMeta(...bytes)).toThrow(corrupt);
  });

  it('a packed list whose last number goes on behind it', () => {
    const bytes = field(5, field(15, tag(1, BYTES), 1, 0x80), 0x01);
    expect(() => messages.decode('Error', bytes, { file: 'backupmeta' })).toThrow(corrupt);
  });

  it('any cut and any flipped bit of a good message is refused, or is another message', () => {
    const random = chance(7);
    for (const type of ['BackupMeta', 'BackupResponse', 'BackupRequest'] as const satisfies BrMessageType[]) {
      const { value } = sampleMessage(random, `backup.${type}`, 0.5);
      const bytes = messages.encode(type, value);
      const again = (changed: Uint8Array) => {
        const decoded = decodeOrRefuse(type, changed);
        if (decoded !== undefined) expect(decodeOrRefuse(type, messages.encode(type, decoded))).toEqual(decoded);
      };
      for (let length = 0; length < Math.min(bytes.length, 2000); length++) again(bytes.subarray(0, length));
      for (let i = 0; i < Math.min(bytes.length, 2000); i++) {
        const changed = bytes.slice();
        changed[i] = (changed[i] ?? 0) ^ (1 << Math.floor(random() * 8));
        again(changed);
      }
    }
  });

  function decodeOrRefuse(type: 'BackupMeta' | 'BackupResponse' | 'BackupRequest', bytes: Uint8Array) {
    try {
      return messages.decode(type, bytes, { file: 'backupmeta' });
    } catch (error) {
      if (!BackupError.is(error, 'CORRUPT_FILE')) throw error;
      return undefined;
    }
  }

  it('says where, and not what', () => {
    const bytes = join(field(2, utf8('v8')), tag(4, BYTES), 100, field(1, utf8('secret')));
    expect(() => decodeMeta(bytes)).toThrow(
      'backupmeta: no backup.BackupMeta at offset 6: a length of 100 bytes, of which 8 are there',
    );
  });
});

describe('items of a list, one by one', () => {
  const files = Array.from({ length: 5 }, (_, i) => ({ name: `f${i}`, size: BigInt(i), unknown: field(3002, i) }));

  it('are those that a whole message has, which is read without them', () => {
    const bytes = messages.encode('BackupMeta', { clusterId: 5n, files, endVersion: 9n });
    const whole = messages.decode('BackupMeta', bytes);
    expect([...messages.decodeItems('BackupMeta', bytes, 'files')]).toEqual(whole.files);
    const head = messages.decode('BackupMeta', bytes, { without: ['files'] });
    expect(head).toEqual({ ...whole, files: [] });
    const ddls = [utf8('a'), new Uint8Array(0), utf8('b')];
    expect([...messages.decodeItems('MetaFile', messages.encode('MetaFile', { ddls }), 'ddls')]).toEqual(ddls);
  });

  it('come until one cannot be read', () => {
    const bytes = join(messages.encode('BackupMeta', { files }), field(4, field(1, 0xff)));
    const names: string[] = [];
    const read = () => {
      for (const { name } of messages.decodeItems('BackupMeta', bytes, 'files', { file: 'backupmeta' }))
        names.push(name);
    };
    expect(read).toThrow(corrupt);
    expect(names).toEqual(files.map(({ name }) => name));
  });
});

describe('values that no field can hold', () => {
  it.each<[string, () => unknown]>([
    ['backup.BackupMeta.clusterId must be a bigint', () => messages.encode('BackupMeta', { clusterId: -1n })],
    ['backup.BackupMeta.clusterId must be a bigint', () => messages.encode('BackupMeta', { clusterId: 1n << 64n })],
    ['backup.BackupMeta.version must be a number', () => messages.encode('BackupMeta', { version: 0.5 })],
    [
      'backup.BackupMeta.clusterVersion must be a well-formed',
      () => messages.encode('BackupMeta', { clusterVersion: '\ud800' }),
    ],
    ['backup.BackupMeta.files.name must be', () => messages.encode('BackupMeta', { files: [{ name: '\udc00' }] })],
    [
      'backup.BackupRequest.storageBackend.backend must be of a kind',
      () => encodeRaw('BackupRequest', { storageBackend: { backend: { kind: 'ftp' } } }),
    ],
    [
      'backup.BackupRequest.cipherInfo.cipherKey must be a Uint8Array',
      () => encodeRaw('BackupRequest', { cipherInfo: { cipherKey: 'secret' } }),
    ],
    [
      'backup.BackupRequest.cipherInfo.cipherType must be one of',
      () => encodeRaw('BackupRequest', { cipherInfo: { cipherType: 'rot13' } }),
    ],
    ['backup.BackupMeta.files must be a list', () => encodeRaw('BackupMeta', { files: 'many' })],
    ['backup.BackupMeta.files must be an object', () => encodeRaw('BackupMeta', { files: [null] })],
    [
      'backup.Schema.partitionMergeOptionAllowed must be a Map',
      () => encodeRaw('Schema', { partitionMergeOptionAllowed: {} }),
    ],
    ['backup.BackupMeta.unknown must be a Uint8Array', () => encodeRaw('BackupMeta', { unknown: 'x' })],
  ])('%s', (message, encode) => {
    const error = expect.objectContaining({
      code: 'INVALID_OPTION',
      message: expect.stringContaining(message) as string,
    }) as Error;
    expect(encode).toThrow(error);
    expect(encode).not.toThrow(/secret|rot13/);
  });

  /** As a caller without types would. */
  function encodeRaw(type: BrMessageType, value: object): Uint8Array {
    return messages.encode(type, value);
  }
});

const why = toolMissing('protoc');

describe.skipIf(why !== undefined)(`unknown fields, judged by protoc${why === undefined ? '' : ` (${why})`}`, () => {
  const files = why === undefined ? protoFiles() : undefined;
  afterAll(() => files?.dispose());

  it('mean the same to it after a message was read and written', async () => {
    if (files === undefined) return;
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = chance(seed);
    for (let i = 0; i < 6; i++) {
      const { text } = sampleMessage(random, 'backup.BackupMeta', 0.6);
      const bytes = sprinkle(await protocEncode(files, 'backup.BackupMeta', text), 'backup.BackupMeta');
      const again = messages.encode('BackupMeta', messages.decode('BackupMeta', bytes));
      const meaning = await protocDecode(files, 'backup.BackupMeta', bytes);
      expect(meaning).toContain('3002: "of a later release"');
      expect(await protocDecode(files, 'backup.BackupMeta', again), `seed ${seed}`).toBe(meaning);
    }
  });
});

/** The message with unknown fields in front of it, and of each message inside of it, but in the entries of maps. */
function sprinkle(bytes: Uint8Array, message: string): Uint8Array {
  const parts: Uint8Array[] = [UNKNOWN];
  let at = 0;
  const readVarint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const start = at;
    const key = readVarint();
    if ((key & 7) !== BYTES) {
      readVarint();
      parts.push(bytes.subarray(start, at));
      continue;
    }
    const end = readVarint() + at;
    const known = fieldsOf(message).find(({ number }) => number === key >>> 3);
    const inner = known?.type.includes('.') === true && known.shape !== 'map' ? known.type : undefined;
    const content = bytes.subarray(at, end);
    parts.push(inner === undefined ? bytes.subarray(start, end) : field(key >>> 3, sprinkle(content, inner)));
    at = end;
  }
  return join(...parts);
}
