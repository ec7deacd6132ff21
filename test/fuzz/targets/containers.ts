// Whole containers: a sound backup is damaged, and then everything is done to it that one does to a backup. With checksums, what is restored is exact.

import type { Clock } from '../../../src/core/clock.js';
import type { BackupErrorCode } from '../../../src/core/errors.js';
import { BackupError } from '../../../src/core/errors.js';
import type { MemoryContainer } from '../../../src/container/memory-container.js';
import type { BackupContainer } from '../../../src/ports/backup-container.js';
import type { RestoreCheckpoint, RestoreTarget } from '../../../src/ports/restore-target.js';
import { compactLogs } from '../../../src/restore/compact.js';
import { describeBackup } from '../../../src/restore/describe.js';
import { expireBackup } from '../../../src/restore/expire.js';
import { restore } from '../../../src/restore/restore.js';
import { verifyBackup } from '../../../src/restore/verify.js';
import { MemoryRestoreTarget } from '../../../src/testing/memory-restore-target.js';
import { SimRandom } from '../../../src/testing/simulation/random.js';
import { digestRows } from '../../format/golden.js';
import { randomBytes } from '../mutate.js';
import type { FuzzTarget, Verdict } from '../target.js';
import { must } from '../target.js';
import type { Damaged } from './damage.js';
import { HOSTILE_NAMES, damage } from './damage.js';
import type { GoodBackup } from './good-backups.js';
import { containerOf, goodBackups } from './good-backups.js';
import { InputReader, latin1 } from './inputs.js';

/** Nothing else may come out: the container in memory does what it should, so it is never accused, and the calls are right. */
const CODES: readonly BackupErrorCode[] = [
  'CORRUPT_FILE',
  'CHECKSUM_MISMATCH',
  'NOT_RESTORABLE',
  'UNSUPPORTED_FORMAT',
  'INVALID_MUTATION',
  'DECRYPTION_FAILED',
  'ENCRYPTION_KEY_MISSING',
  'ENCRYPTION_KEY_WRONG',
  'FILE_NOT_FOUND',
  'EXPIRE_REFUSED',
  'INVALID_STATE',
];

/** Time passes only while somebody sleeps, and then at once. What waits for damage to heal gives up some time. */
class HastyClock implements Clock {
  #now = 0;
  #end = 0;

  /** A case begins. */
  begin(): void {
    this.#end = this.#now + LONGEST_WAIT_MS;
  }

  now(): number {
    return this.#now;
  }

  wallTime(): number {
    return 1_700_000_000_000 + this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#now += ms;
    must(this.#now < this.#end, 'it waits for more than an hour');
    return this.yieldToHost();
  }

  yieldToHost(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
}

const LONGEST_WAIT_MS = 3_600_000;
const clock = new HastyClock();

/** undefined: refused with one of the codes. */
async function unlessRefused<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (BackupError.is(error) && CODES.includes(error.code)) return undefined;
    throw error;
  }
}

async function rowsOf(container: BackupContainer, version: bigint, deep: boolean): Promise<string> {
  const target = new MemoryRestoreTarget();
  await restore({ container, target, version, deep, clock, applyBytes: 4096, readBytes: 1000 });
  let lines = '';
  for (const { key, value } of target.rows())
    lines += `${Buffer.from(key).toString('hex')} ${Buffer.from(value).toString('hex')}\n`;
  return digestRows(lines).sha256;
}

/** Restores some versions that are said to be restorable. How many could be. */
async function restoreSome(
  container: BackupContainer,
  backup: GoodBackup,
  damaged: Damaged,
  reader: InputReader,
): Promise<number> {
  const deep = reader.byte() % 4 === 0;
  const description = await unlessRefused(() => describeBackup(container, { deep, clock }));
  if (description === undefined) return 0;
  const isExact = !damaged.isForged && (backup.isCovered ? !damaged.isUncovered : damaged.changed.length === 0);
  let restored = 0;
  for (const { min, max } of description.windows.slice(0, 3)) {
    const middle = min + (BigInt(reader.u16()) % (max - min + 1n));
    for (const version of new Set([max, middle])) {
      const rows = await unlessRefused(() => rowsOf(container, version, deep));
      if (rows === undefined) continue;
      restored++;
      const expected = backup.rowsAt(version);
      must(
        !isExact || expected === undefined || rows === expected,
        `${backup.name}: other rows at version ${version}, changed: ${damaged.changed.join(' ')}`,
      );
    }
  }
  return restored;
}

/** A file that is not what was written is seen, where there are checksums of it. */
async function verify(container: BackupContainer, backup: GoodBackup, damaged: Damaged): Promise<void> {
  await unlessRefused(() => verifyBackup(container, { clock }));
  const report = await unlessRefused(() => verifyBackup(container, { deep: true, clock }));
  if (report === undefined || !backup.isCovered || damaged.isForged || damaged.isUncovered) return;
  const seen = new Set(report.problems.flatMap(({ file, other }) => [file, other]));
  for (const name of damaged.changed) {
    must(report.problems.length > 0, `${backup.name}: ${name} was changed, and the verification saw nothing`);
    if (report.ok) must(seen.has(name) || report.problems.length > 0, `${name} is not named`);
  }
}

const damagedContainer: FuzzTarget = {
  name: 'damaged-container',
  weight: 0.15,
  form: 'bytes',
  maxBytes: 80,
  memory: { fixed: 256 << 20, perByte: 0 },
  batch: 1,
  codes: CODES,
  seeds(random) {
    const seeds: Uint8Array[] = [];
    for (let backup = 0; backup < 5; backup++) {
      for (let op = 0; op < 10; op++) seeds.push(Uint8Array.of(backup, op, ...randomBytes(random, 20)));
    }
    HOSTILE_NAMES.forEach((_name, i) =>
      seeds.push(Uint8Array.of(i % 5, 0, 0, 0, 10, 0, 0, i, ...randomBytes(random, 12))),
    );
    return seeds;
  },
  async run(input): Promise<Verdict> {
    clock.begin();
    const reader = new InputReader(input);
    const backup = reader.pick(await goodBackups());
    const deepAndVersion = new InputReader(reader.bytes(3));
    const damaged = damage(backup, reader);
    const inner = await containerOf(damaged.files);
    const container = await unlessRefused(() => backup.open(inner));
    if (container === undefined) return 'refused';
    const restored = await restoreSome(container, backup, damaged, deepAndVersion);
    await verify(container, backup, damaged);
    await takeCare(container, inner, damaged);
    await restoreSome(container, backup, damaged, new InputReader(input.subarray(1)));
    return restored > 0 ? 'accepted' : 'refused';
  },
};

async function takeCare(container: BackupContainer, inner: MemoryContainer, damaged: Damaged): Promise<void> {
  const before = BigInt(60 + (damaged.files.size % 80));
  await unlessRefused(() => expireBackup(container, { before, dryRun: true, listingLag: 0, clock }));
  await unlessRefused(() =>
    expireBackup(container, { before: 1n << 62n, dryRun: true, force: true, listingLag: 0, clock }),
  );
  for (const [name, bytes] of damaged.files) {
    const there = await inner.readFile(name, 0, bytes.length + 1);
    must(Buffer.compare(there, bytes) === 0, `${name} was touched by what should only look`);
  }
  await unlessRefused(() =>
    compactLogs(container, { graceMs: 0, keepNewest: 0, minFiles: 2, random: new SimRandom(1), clock }),
  );
}

/** A target that says of itself what the input says, and takes everything. */
class HostileTarget extends MemoryRestoreTarget implements RestoreTarget {
  readonly #first: RestoreCheckpoint;

  constructor(first: RestoreCheckpoint) {
    super();
    this.#first = first;
  }

  override async checkpoint(): Promise<RestoreCheckpoint | undefined> {
    return (await super.checkpoint()) ?? this.#first;
  }
}

const PHASES = ['clearing', 'rows', 'log', 'done'] as const;
const VERSION = 120n;
let restoreIds: Promise<readonly string[]> | undefined;

/** Those that the library itself gives. */
async function findIds(): Promise<readonly string[]> {
  const backup = (await goodBackups())[0] as GoodBackup;
  const container = await backup.open(await containerOf(backup.files));
  const target = new MemoryRestoreTarget();
  await restore({ container, target, version: VERSION, clock });
  return [(await target.checkpoint())?.restoreId ?? ''];
}

const checkpoint: FuzzTarget = {
  name: 'restore-checkpoint',
  weight: 0.3,
  form: 'text',
  headerBytes: 12,
  maxBytes: 100,
  memory: { fixed: 64 << 20, perByte: 0 },
  batch: 4,
  codes: [...CODES, 'ADAPTER_CONTRACT', 'TARGET_NOT_EMPTY'],
  dictionary: ['row:', '12:3', 'shards:4', 'shards:9999', ':', '9223372036854775808'].map((text) => Buffer.from(text)),
  seeds: (random) =>
    ['row:', 'row:0102', '12:3', '130:1', 'shards:2', 'shards:4', 'shards:9999', '', '9999999999999999999:1'].flatMap(
      (cursor) =>
        [0, 1, 2, 3].map((phase) =>
          Uint8Array.of(0, phase, random.int(0, 255), 1, 40, 0, 0, 0, 0, 0, 0, 0, ...Buffer.from(cursor)),
        ),
    ),
  async run(input): Promise<Verdict> {
    clock.begin();
    const backup = (await goodBackups())[0] as GoodBackup;
    const ids = await (restoreIds ??= findIds());
    const reader = new InputReader(input);
    const known = reader.byte();
    const phase = reader.pick(PHASES);
    const [hasCursor, shards] = [reader.byte() % 4 !== 0, 1 + (reader.byte() % 3)];
    const version = BigInt.asIntN(64, reader.u64());
    const text = latin1(reader.rest());
    const restoreId = known < 200 ? (ids[0] as string) : text;
    const target = new HostileTarget({ restoreId, phase, version, ...(hasCursor ? { cursor: text } : {}) });
    const container = await backup.open(await containerOf(backup.files));
    await restore({ container, target, version: VERSION, shards, readBytes: 1000, clock });
    return 'accepted';
  },
};

export const containers: readonly FuzzTarget[] = [damagedContainer, checkpoint];
