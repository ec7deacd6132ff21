// TiKV's meta data: the protocol's messages, TiDB's schemas, and `backupmeta` with the nodes that it names.

import { createHash } from 'node:crypto';
import { readBackupMeta, type BackupMetaReader } from '../../../src/br/meta/backup-meta.js';
import { MemoryContainer } from '../../../src/container/memory-container.js';
import { BackupError } from '../../../src/core/errors.js';
import type { BrMessageType } from '../../../src/format/br/message-codec.js';
import { loadBrMessages } from '../../../src/format/br/proto/load.js';
import { parseTidbTable } from '../../../src/format/br/tidb-schema.js';
import type { SimRandom } from '../../../src/testing/simulation/random.js';
import { all, CIPHERS, namesIn, readAll, readFile, TABLES, writeFile, writeMeta } from '../../br/meta-backups.js';
import { naiveDecode, NotAMessage } from '../../format/br/naive-messages.js';
import { sampleMessage } from '../../format/br/meta-values.js';
import type { FuzzTarget, Verdict } from '../target.js';
import { must, mustEqual } from '../target.js';
import { ascii, withHeader } from './inputs.js';

const messages = await loadBrMessages();

const TYPES: readonly BrMessageType[] = [
  'BackupMeta',
  'BackupResponse',
  'BackupRequest',
  'MetaFile',
  'Schema',
  'Error',
];

/** The first byte says which message. */
const brMessage: FuzzTarget = {
  name: 'br-message',
  weight: 3,
  form: 'bytes',
  maxBytes: 1024,
  takesHuge: true,
  codes: ['CORRUPT_FILE'],
  // An empty message inside of another takes two bytes, and becomes a value of up to 25 members, in several copies here.
  memory: { fixed: 1 << 20, perByte: 4096 },
  batch: 128,
  seeds: (random: SimRandom) =>
    TYPES.flatMap((type, i) =>
      [0.2, 0.5, 0.9].map((density) => {
        const { value } = sampleMessage(
          () => random.next(),
          `backup.${type}`,
          type === 'BackupMeta' ? density / 3 : density,
        );
        return withHeader([i], messages.encode(type, value));
      }),
    ),
  run(input): Verdict {
    const type = TYPES[(input[0] ?? 0) % TYPES.length] ?? 'BackupMeta';
    const bytes = input.subarray(1);
    const naive = decodedNaively(type, bytes);
    let value;
    try {
      value = messages.decode(type, bytes, { file: 'backupmeta' });
    } catch (error) {
      must(!BackupError.is(error, 'CORRUPT_FILE') || naive === undefined, `${type} refused, which is a message`);
      throw error;
    }
    must(naive !== undefined, `${type} accepted, which is no message`);
    mustEqual(sorted(value), sorted(naive), `${type} decoded`);
    const again = messages.encode(type, value);
    // Maps are written in the order of their keys.
    mustEqual(sorted(messages.decode(type, again)), sorted(value), `${type} encoded and decoded again`);
    mustEqual(messages.encode(type, messages.decode(type, again)), again, `${type} encoded again`);
    if (type === 'BackupMeta') {
      const { files } = messages.decode('BackupMeta', bytes);
      mustEqual([...messages.decodeItems('BackupMeta', bytes, 'files')], files, 'files one by one');
    }
    return 'accepted';
  },
};

function decodedNaively(type: BrMessageType, bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    return naiveDecode(`backup.${type}`, bytes);
  } catch (error) {
    if (error instanceof NotAMessage) return undefined;
    throw error;
  }
}

/** Members and entries in one order; members that are undefined are not there. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value instanceof Map) return new Map([...(value as Map<string, unknown>)].sort(([a], [b]) => (a < b ? -1 : 1)));
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(
    members.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, member]) => [name, sorted(member)]),
  );
}

const tidbSchema: FuzzTarget = {
  name: 'tidb-schema',
  weight: 1,
  form: 'json',
  maxBytes: 2048,
  takesHuge: true,
  codes: ['CORRUPT_FILE'],
  memory: { fixed: 512 << 10, perByte: 256 },
  batch: 256,
  dictionary: [
    '"id"',
    '"name"',
    '{"O":"a","L":"a"}',
    '"partition"',
    '"definitions"',
    '"cols"',
    '9223372036854775807',
    '"n5"',
    '\\u0022',
  ].map(ascii),
  seeds: () => [
    ...TABLES,
    ascii(
      '{"id":7,"name":"t","cols":[{"id":1,"name":{"O":"c\\"\\\\","L":"c"},"offset":0}],"index_info":[{"id":1,"idx_name":"i","idx_cols":[{"name":"c"}],"is_unique":true}]}',
    ),
  ],
  run(input): Verdict {
    const table = parseTidbTable(input, 'backupmeta');
    // JSON knows all of it but the last digits of the ids.
    const json = JSON.parse(new TextDecoder().decode(input)) as {
      id: number;
      name: string | { O: string };
      cols?: unknown[] | null;
    };
    mustEqual(Number(table.id), json.id, 'id');
    mustEqual(table.name, typeof json.name === 'string' ? json.name : json.name.O, 'name');
    mustEqual(table.columns.length, json.cols?.length ?? 0, 'columns');
    return 'accepted';
  },
};

/** Nodes that an input may name, the good backups' own: the same in every case. */
const backups = await Promise.all(
  [0, 1].flatMap((version) =>
    [CIPHERS[0], CIPHERS[3]].map((cipher) => writeMeta({ version: version === 0 ? 0 : 1, cipher })),
  ),
);

/** The first byte says whether there is a cipher, and which backup's nodes are there. The rest is `backupmeta`. */
const brBackupMeta: FuzzTarget = {
  name: 'br-backup-meta',
  weight: 1,
  form: 'bytes',
  maxBytes: 8192,
  codes: [
    'CORRUPT_FILE',
    'CHECKSUM_MISMATCH',
    'FILE_NOT_FOUND',
    'UNSUPPORTED_FORMAT',
    'ENCRYPTION_KEY_MISSING',
    'ENCRYPTION_KEY_WRONG',
  ],
  memory: { fixed: 8 << 20, perByte: 4096 },
  batch: 32,
  seeds: () =>
    Promise.all(backups.map(async ({ container }, i) => withHeader([i], await readFile(container, 'backupmeta')))),
  async run(input): Promise<Verdict> {
    const which = (input[0] ?? 0) % backups.length;
    const container = new MemoryContainer();
    const good = backups[which]?.container ?? container;
    for (const name of await namesIn(good)) {
      await writeFile(container, name, name === 'backupmeta' ? input.subarray(1) : await readFile(good, name));
    }
    const cipher = CIPHERS[which % 2 === 0 ? 0 : 3];
    const reader = await readBackupMeta(container, { cipher });
    const { files } = await readAll(reader);
    await mustVouch(reader, container);
    mustEqual((await all(reader.files())).length, files.length, 'files, read again');
    return 'accepted';
  },
};

/** What the reader says of the file itself. */
async function mustVouch(reader: BackupMetaReader, container: MemoryContainer): Promise<void> {
  const stored = await readFile(container, 'backupmeta');
  mustEqual(reader.sha256, createHash('sha256').update(stored).digest('hex'), 'sha256 of backupmeta');
  must(reader.meta.version === 0 || reader.meta.version === 1, 'a schema that is known');
}

export const brMeta: readonly FuzzTarget[] = [brMessage, tidbSchema, brBackupMeta];
