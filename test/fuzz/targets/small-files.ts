// The small files of a container: manifests, checksums, parts of a snapshot, properties.

import { createSecretKey } from 'node:crypto';
import { encodeKeyCheck, matchesKeyCheck } from '../../../src/container/encrypted-key.js';
import { crc32 } from '../../../src/core/crc32.js';
import { FileSumsBuilder, encodeFileSums, parseFileSums } from '../../../src/format/fdb/file-sums.js';
import { rangeFileName } from '../../../src/format/fdb/names.js';
import {
  encodeEncryptionMetadata,
  encodeJobMarker,
  encodeNumberProperty,
  parseEncryptionMetadata,
  parseJobMarker,
  parseNumberProperty,
} from '../../../src/format/fdb/properties.js';
import { encodeSnapshotManifest, parseSnapshotManifest } from '../../../src/format/fdb/snapshot-manifest.js';
import { encodeSnapshotBegin, parseSnapshotBegin } from '../../../src/format/fdb/snapshot-part.js';
import type { RangeFileSums } from '../../../src/format/fdb/snapshot-sums.js';
import { encodeSnapshotSums, parseSnapshotSums } from '../../../src/format/fdb/snapshot-sums.js';
import type { SimRandom } from '../../../src/testing/simulation/random.js';
import { randomBytes } from '../mutate.js';
import type { FuzzTarget, Verdict } from '../target.js';
import { must, mustEqual, SMALL_MEMORY } from '../target.js';
import { ascii, latin1 } from './inputs.js';

/** A codec whose two halves are each other's inverse. */
interface Codec<T> {
  readonly name: string;
  readonly weight: number;
  readonly form: FuzzTarget['form'];
  readonly seeds: (random: SimRandom) => readonly Uint8Array[];
  readonly decode: (bytes: Uint8Array) => T;
  readonly encode: (value: T) => Uint8Array;
  readonly repair?: (input: Uint8Array) => Uint8Array;
  readonly dictionary?: readonly string[];
  /** What two values have in common that mean the same. */
  readonly normal?: (value: T) => unknown;
  readonly also?: (value: T, bytes: Uint8Array) => void;
}

function codecTarget<T>({
  decode,
  encode,
  also,
  normal = (value) => value,
  dictionary = [],
  ...codec
}: Codec<T>): FuzzTarget {
  return {
    maxBytes: 2048,
    takesHuge: true,
    memory: { fixed: 512 << 10, perByte: 96 },
    batch: 256,
    codes: ['CORRUPT_FILE'],
    dictionary: dictionary.map(ascii),
    ...codec,
    run(input): Verdict {
      const value = decode(input);
      const bytes = encode(value);
      mustEqual(normal(decode(bytes)), normal(value), 'decoded again');
      also?.(value, input);
      return 'accepted';
    },
  };
}

function rangeName(random: SimRandom): string {
  const snapshotBegin = BigInt(random.int(0, 1000));
  const version = snapshotBegin + BigInt(random.int(0, 9));
  return rangeFileName({ snapshotBegin, folder: random.int(0, 3), version, uid: random.uid(), blockSize: 1_048_576 });
}

function randomKey(random: SimRandom): Uint8Array {
  return randomBytes(random, random.int(0, 5));
}

function manifestSeed(random: SimRandom, withKeys: boolean): Uint8Array {
  const files = Array.from({ length: random.int(0, 4) }, () => rangeName(random));
  const keyRanges = new Map(files.map((name) => [name, { begin: randomKey(random), end: randomKey(random) }]));
  const versions = [0n, 12n, (1n << 53n) + 1n, (1n << 63n) - 1n];
  const beginVersion = random.pick(versions);
  const endVersion = random.pick(versions.filter((version) => version >= beginVersion));
  const totalBytes = random.int(0, 1_000_000);
  return encodeSnapshotManifest({
    beginVersion,
    endVersion,
    files,
    keyRanges: withKeys ? keyRanges : new Map(),
    totalBytes,
  });
}

const manifest = codecTarget({
  name: 'snapshot-manifest',
  weight: 10,
  form: 'json',
  seeds: (random) => Array.from({ length: 12 }, (_, i) => manifestSeed(random, i % 2 === 0)),
  decode: (bytes) => parseSnapshotManifest(bytes, 'snapshots/snapshot'),
  encode: encodeSnapshotManifest,
  // Names of ranges are written in order, and read in any.
  normal: (value) => ({ ...value, keyRanges: [...value.keyRanges].sort(([a], [b]) => (a < b ? -1 : 1)) }),
  dictionary: [
    '"beginVersion":',
    '"endVersion":',
    '9007199254740993',
    '"files":[',
    '"keyRanges":{',
    '"beginKey":"',
    '\\u00FF',
  ],
  also({ beginVersion, endVersion, files, keyRanges }, bytes) {
    must(beginVersion >= 0n && endVersion >= beginVersion && endVersion < 1n << 63n, 'versions');
    for (const name of [...files, ...keyRanges.keys()]) {
      must(Buffer.from(name, 'latin1').toString('latin1') === name, 'a name that is no bytes');
    }
    // The slow way to exact versions: the parser's own numbers, and every number that the text holds.
    const numbers = new Set((latin1(bytes).match(/-?[0-9]+/g) ?? []).map((digits) => BigInt(digits)));
    const json = JSON.parse(latin1(bytes)) as { beginVersion: number; endVersion: number };
    for (const [exact, rounded] of [
      [beginVersion, json.beginVersion],
      [endVersion, json.endVersion],
    ] as const) {
      must(Number(exact) === rounded, `version ${exact} was read for ${rounded}`);
      must(rounded < 2 ** 53 || numbers.has(exact), `version ${exact} is not in the file`);
    }
  },
});

/** Puts the right checksum at the end of what was to end in one. */
export function repairCheck(input: Uint8Array): Uint8Array {
  const tail = ',"check":"01234567"}'.length;
  const isClosed = /,"check":"[^"]{0,16}"\}$/.exec(latin1(input.subarray(-40)));
  const body =
    isClosed === null
      ? input.subarray(0, Math.max(0, input.length - tail))
      : input.subarray(0, input.length - isClosed[0].length);
  const check = `,"check":"${crc32(body).toString(16).padStart(8, '0')}"}`;
  return new Uint8Array(Buffer.concat([body, ascii(check)]));
}

function fileSumsSeed(random: SimRandom): Uint8Array {
  const builder = new FileSumsBuilder(random.pick([512, 1000, 1_048_576]));
  builder.update(randomBytes(random, random.int(0, 3000)));
  return encodeFileSums(builder.build());
}

const fileSums = codecTarget({
  name: 'file-sums',
  weight: 6,
  form: 'json',
  seeds: (random) => Array.from({ length: 8 }, () => fileSumsSeed(random)),
  decode: (bytes) => parseFileSums(bytes, 'properties/tidemark_sums'),
  encode: encodeFileSums,
  repair: repairCheck,
  dictionary: ['"size":', '"blockSize":', '"crc32":"', '512', '9007199254740991', '"}'],
});

function rangeSumsSeed(random: SimRandom): RangeFileSums {
  const builder = new FileSumsBuilder(512);
  builder.update(randomBytes(random, random.int(0, 1500)));
  const name = rangeName(random);
  return {
    ...builder.build(),
    name,
    range: { begin: randomKey(random), end: randomKey(random) },
    version: BigInt(name.split('range,')[1]?.split(',')[0] ?? '0'),
    sha256: random.uid() + random.uid(),
    crc64xor: random.uid().slice(16),
    rows: random.int(0, 9),
    rowBytes: random.int(0, 99),
  };
}

const snapshotSums = codecTarget({
  name: 'snapshot-sums',
  weight: 6,
  form: 'json',
  seeds: (random) =>
    Array.from({ length: 8 }, (_, i) =>
      encodeSnapshotSums({ files: Array.from({ length: i % 4 }, () => rangeSumsSeed(random)) }),
    ),
  decode: (bytes) => parseSnapshotSums(bytes, 'properties/tidemark_snapshot'),
  encode: encodeSnapshotSums,
  repair: repairCheck,
});

const snapshotBegin = codecTarget({
  name: 'snapshot-begin',
  weight: 4,
  form: 'json',
  seeds: () => [
    encodeSnapshotBegin([]),
    encodeSnapshotBegin([{ begin: new Uint8Array(0), end: Uint8Array.of(0xff) }]),
    encodeSnapshotBegin([
      { begin: Uint8Array.of(1), end: Uint8Array.of(2) },
      { begin: Uint8Array.of(3), end: Uint8Array.of(3, 0) },
    ]),
  ],
  decode: (bytes) => parseSnapshotBegin(bytes, 'properties/tidemark_snapshot_part'),
  encode: encodeSnapshotBegin,
  repair: repairCheck,
});

const number = codecTarget({
  name: 'number-property',
  weight: 4,
  form: 'text',
  seeds: () =>
    ['0', '1', '  12\n', '9223372036854775807', '9223372036854775808', '\ufeff1'].map(
      (text) => new Uint8Array(Buffer.from(text)),
    ),
  decode: (bytes) => parseNumberProperty(bytes, 'properties/log_end_version'),
  encode: encodeNumberProperty,
  also: (value) => must(value >= 0n && value < 1n << 63n, `${value}`),
});

const metadata = codecTarget({
  name: 'encryption-metadata',
  weight: 4,
  form: 'json',
  seeds: () => [
    encodeEncryptionMetadata({ enabled: false, blockSize: 0 }),
    encodeEncryptionMetadata({ enabled: true, blockSize: 65_536 }),
    encodeEncryptionMetadata({ enabled: true, blockSize: Number.MAX_SAFE_INTEGER }),
  ],
  decode: (bytes) => parseEncryptionMetadata(bytes),
  encode: encodeEncryptionMetadata,
});

const marker = codecTarget({
  name: 'job-marker',
  weight: 6,
  form: 'json',
  seeds: (random) => [
    encodeJobMarker({ uid: random.uid(), logOnly: true, ranges: [], startVersion: 0n, firstVersion: 1n }),
    encodeJobMarker({
      uid: random.uid(),
      submission: random.uid(),
      logOnly: false,
      ranges: [
        { begin: new Uint8Array(0), end: Uint8Array.of(0xff) },
        { begin: Uint8Array.of(3), end: Uint8Array.of(3, 0) },
      ],
      startVersion: (1n << 63n) - 1n,
      firstVersion: 1n,
    }),
  ],
  decode: (bytes) => parseJobMarker(bytes),
  encode: encodeJobMarker,
});

const KEY = createSecretKey(new Uint8Array(32).fill(7));
const GOOD_CHECK = encodeKeyCheck(KEY, 'ab'.repeat(16));

const keyCheck: FuzzTarget = {
  name: 'key-check',
  weight: 3,
  form: 'json',
  maxBytes: 1024,
  memory: SMALL_MEMORY,
  batch: 256,
  codes: [],
  seeds: () => [GOOD_CHECK, encodeKeyCheck(createSecretKey(new Uint8Array(32)), 'cd'.repeat(16))],
  run(input) {
    const matches = matchesKeyCheck(KEY, input);
    if (matches !== true) return 'refused';
    // Nobody makes a check for a salt without the key: what matches is one that was made with it, however it is written.
    const { salt, check } = JSON.parse(Buffer.from(input).toString()) as { salt: string; check: string };
    mustEqual(JSON.parse(Buffer.from(encodeKeyCheck(KEY, salt)).toString()), { salt, check }, 'a check that matches');
    return 'accepted';
  },
};

export const smallFiles: readonly FuzzTarget[] = [
  manifest,
  fileSums,
  snapshotSums,
  snapshotBegin,
  number,
  metadata,
  marker,
  keyCheck,
];
