// Names of files, and everything else that comes as text: cursors of a restore, paths and URLs of containers.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DirectoryContainer } from '../../../src/container/directory-container.js';
import { isEncryptedName } from '../../../src/container/encrypted-names.js';
import { BackupError } from '../../../src/core/errors.js';
import { checkFileName, compareFileNames, fileNameProblem } from '../../../src/core/file-name.js';
import { parseSumsFileName, sumsFileName } from '../../../src/format/fdb/file-sums.js';
import * as names from '../../../src/format/fdb/names.js';
import { parseSnapshotPartName, snapshotPartName } from '../../../src/format/fdb/snapshot-part.js';
import { parseSnapshotSumsName, snapshotSumsName } from '../../../src/format/fdb/snapshot-sums.js';
import { parseVersionTimeName, versionTimeName } from '../../../src/format/fdb/version-times.js';
import { parseCursor } from '../../../src/restore/log-applier.js';
import { findChosen, findDone } from '../../../src/restore/restore-id.js';
import { parseRowCursor } from '../../../src/restore/row-loader.js';
import type { FuzzTarget, Verdict } from '../target.js';
import { must, mustEqual, SMALL_MEMORY } from '../target.js';
import { ascii, latin1 } from './inputs.js';

const UID = '0123456789abcdef0123456789abcdef';
const LONG = 'x'.repeat(10_000);
const EDGE_NAMES = [
  `plogs/0000/0000/log,0,9223372036854775807,${UID},65534-of-65535,1048576`,
  `plogs/0000/0000/log,10,20,${UID},0-of-1,1048576`,
  `plogs/0000/0000/log,9007199254740993,9007199254740995,${UID},0-of-999999999999999,5`,
  `plogs/../../etc/log,1,2,${UID},0-of-1,1048576`,
  `plogs/log,-1,2,${UID},0-of-1,0`,
  `logs/0000/0000/log,10,20,${UID},1048576`,
  `kvranges/snapshot.000000000000000010/0/range,12,${UID},1048576`,
  `kvranges/snapshot.10/999999999999999/range,9223372036854775807,${UID},1073741824`,
  'snapshots/snapshot,10,20,345',
  'snapshots/snapshot,10,20,345,bulk',
  'snapshots/snapshot,10,20,9007199254740991,range',
  'properties/tidemark_times/0000000000000000012,1700000000000',
  `properties/tidemark_snapshot_part,10,${UID},${UID}`,
  `properties/tidemark_snapshot_part,10,${UID},1700000000000`,
  'properties/tidemark_snapshot,10,20,345',
  `properties/tidemark_sums/plogs/0000/0000/sums,log,10,20,${UID},0-of-1,1048576`,
  `plogs/0000/0000/log,1,2,${LONG},0-of-1,1048576`,
  `plogs/0000/0000/log,${'9'.repeat(10_000)},2,${UID},0-of-1,5`,
  '../x',
  '/etc/passwd',
  'a\\b',
  'a\0b',
  'a//b',
  'a/./b',
  'a/../b',
  'a.temp',
  'a.part',
  LONG,
  `${'a/'.repeat(5000)}b`,
];

const DICTIONARY = [
  '..',
  '/',
  '//',
  '\0',
  '\\',
  ',',
  '-of-',
  '.temp',
  'plogs/',
  'logs/',
  'kvranges/',
  'snapshots/',
  'properties/',
  '9223372036854775808',
  '1e9',
  '%00',
  '%2f',
];

const utf8 = (text: string) => new Uint8Array(Buffer.from(text));

/** A name that parses is the normal form's own, or parses to the same. */
function reparse<T extends object>(
  name: string,
  parse: (name: string) => T | undefined,
  build: (value: T) => string,
  mayRefuse: (value: T) => boolean,
): boolean {
  const value = parse(name);
  if (value === undefined) return false;
  let built: string;
  try {
    built = build(value);
  } catch (error) {
    // Readers forgive what writers never write.
    must(BackupError.is(error, 'INVALID_NAME') && mayRefuse(value), `${name.slice(0, 200)} parses and cannot be built`);
    return true;
  }
  mustEqual(parse(built), value, 'the name, built and parsed again');
  return true;
}

const oddUid = ({ uid }: { readonly uid: string }) => !/^[0-9a-f]{32}$/.test(uid);

export const fileName: FuzzTarget = {
  name: 'file-name',
  weight: 20,
  form: 'text',
  maxBytes: 300,
  takesHuge: true,
  memory: { fixed: 64 << 10, perByte: 64 },
  batch: 256,
  codes: ['INVALID_NAME'],
  maxMessage: 10_000_000,
  dictionary: DICTIONARY.map(ascii),
  seeds: () => EDGE_NAMES.map(utf8),
  run(input) {
    const name = Buffer.from(input).toString('utf8');
    const known = [
      reparse(name, names.parseLogFileName, names.logFileName, oddUid),
      reparse(
        name,
        names.parseUnpartitionedLogFileName,
        () => name,
        () => false,
      ),
      reparse(
        name,
        names.parseRangeFileName,
        names.rangeFileName,
        (file) => oddUid(file) || file.version + 1n > (1n << 63n) - 1n,
      ),
      reparse(name, names.parseSnapshotFileName, names.snapshotFileName, () => false),
      reparse(name, parseVersionTimeName, versionTimeName, () => false),
      reparse(name, parseSnapshotPartName, snapshotPartName, () => false),
      reparse(name, parseSnapshotSumsName, snapshotSumsName, () => false),
      reparse(
        name,
        (text) => wrapped(parseSumsFileName(text)),
        ({ value }) => sumsFileName(value),
        () => false,
      ),
    ];
    must(known.filter(Boolean).length <= 1, `${name.slice(0, 200)} is of two kinds`);
    isEncryptedName(name);
    checkOrder(name);
    const problem = slowProblem(name);
    must(
      (fileNameProblem(name) === undefined) === !problem,
      `${JSON.stringify(name.slice(0, 200))}: ${String(fileNameProblem(name))}`,
    );
    checkFileName(name);
    return known.includes(true) ? 'accepted' : 'refused';
  },
};

function wrapped(value: string | undefined): { readonly value: string } | undefined {
  return value === undefined ? undefined : { value };
}

/** As the port has it, in the plainest words. */
function slowProblem(name: string): boolean {
  const parts = name.split('/');
  return (
    parts.some((part) => part === '' || part === '.' || part === '..') ||
    /[\0\\]/.test(name) ||
    /\.(temp|part)$/.test(name) ||
    Buffer.from(name).toString() !== name
  );
}

/** As the bytes of UTF-8 compare. */
function checkOrder(name: string): void {
  const half = name.length >> 1;
  const [a, b] = [name.slice(0, half), name.slice(half)];
  if (/\p{Surrogate}/u.test(a) || /\p{Surrogate}/u.test(b)) return;
  must(
    Math.sign(compareFileNames(a, b)) === Buffer.compare(Buffer.from(a), Buffer.from(b)),
    'names in another order than their bytes',
  );
}

export const cursor: FuzzTarget = {
  name: 'restore-cursor',
  weight: 4,
  form: 'text',
  maxBytes: 200,
  takesHuge: true,
  memory: SMALL_MEMORY,
  batch: 256,
  codes: [],
  dictionary: ['row:', ':', '9223372036854775808', '999999999999999', 'empty'].map(ascii),
  seeds: () =>
    ['12:3', 'row:', 'row:00ff', 'shards:4', `${UID}:12:empty`, `${UID}:12:10,20,345`, '9999999999999999999:1'].map(
      utf8,
    ),
  run(input) {
    const text = Buffer.from(input).toString('utf8');
    const part = parseCursor(text);
    if (part !== undefined) {
      must(part.version >= 0n && part.version < 1n << 63n, `version ${part.version}`);
      must(Number.isSafeInteger(part.records) && part.records >= 0, `${part.records} records`);
    }
    const row = parseRowCursor(text);
    if (row !== undefined) must(`row:${Buffer.from(row).toString('hex')}` === text, 'another row');
    const chosen = findChosen(text, UID, []);
    must(chosen === undefined, 'a start where there is none');
    const done = findDone({ restoreId: text, phase: 'done', version: 12n }, UID, 12n);
    return part === undefined && row === undefined && done === undefined ? 'refused' : 'accepted';
  },
};

const SENTINEL = 'outside the container';

/** A folder with a container in it, and beside that a file that no name may reach. */
class Playground {
  readonly root = mkdtempSync(path.join(tmpdir(), 'tidemark-fuzz-'));
  readonly inside = path.join(this.root, 'container');
  readonly container = new DirectoryContainer(this.inside, { fsync: false });

  constructor() {
    writeFileSync(path.join(this.root, 'secret'), SENTINEL);
    mkdirSync(path.join(this.inside, 'a'), { recursive: true });
    writeFileSync(path.join(this.inside, 'a/b'), 'inside');
    process.once('exit', () => rmSync(this.root, { recursive: true, force: true }));
  }
}

let playground: Playground | undefined;

/** First byte: 0 a name in a folder, 1 the folder itself. */
export const directory: FuzzTarget = {
  name: 'directory-container',
  weight: 0.3,
  form: 'text',
  headerBytes: 1,
  maxBytes: 400,
  memory: { fixed: 1 << 20, perByte: 512 },
  batch: 32,
  maxMessage: 100_000,
  codes: ['INVALID_NAME', 'INVALID_OPTION', 'FILE_NOT_FOUND', 'CONTAINER_UNAVAILABLE'],
  dictionary: [...DICTIONARY, 'file:///', 'secret', '../secret', 'http://', '%'].map(ascii),
  seeds: () => [
    ...EDGE_NAMES.map((name) => ascii(`\0${name}`)),
    ...['a/b', '../secret', 'a/../../secret', '/../secret', 'plogs'].map((name) => ascii(`\0${name}`)),
    ...[
      '',
      '/tmp/x',
      'relative',
      'file:///tmp/x',
      'file://host/x',
      'file:///%00',
      'file:///a%2fb',
      'http://x',
      'a\0b',
      'FILE:/x',
      LONG,
    ].map((text) => ascii(`\x01${text}`)),
  ],
  async run(input): Promise<Verdict> {
    playground ??= new Playground();
    const text = latin1(input.subarray(1));
    if ((input[0] ?? 0) % 2 === 0) {
      const bytes = await playground.container.readFile(text, 0, 100);
      must(Buffer.from(bytes).toString() !== SENTINEL, 'a file outside of the container was read');
      return 'accepted';
    }
    const { path: found, url } = new DirectoryContainer(text);
    must(path.isAbsolute(found), `${found} is not absolute`);
    must(new DirectoryContainer(url).path === found, `${url} is another folder than ${found}`);
    // Only looked at: nothing is made there.
    const container = new DirectoryContainer(text);
    await container.exists();
    await container.readFile('tidemark-fuzz/nothing', 0, 1);
    return 'accepted';
  },
};
