// What a progress store holds: the records of jobs, their keys, and the files of a FileProgressStore.

import { createHash } from 'node:crypto';
import { toHex } from '../../../src/core/bytes.js';
import { jobKey } from '../../../src/job/keys.js';
import * as records from '../../../src/job/records.js';
import * as snapshots from '../../../src/job/snapshot-record.js';
import * as access from '../../../src/job/store-access.js';
import { encodeLease } from '../../../src/progress/lease-record.js';
import {
  decodeCommit,
  decodeGenesis,
  decodeState,
  encodeCommit,
  encodeGenesis,
  encodeState,
} from '../../../src/progress/progress-record.js';
import { ProgressState } from '../../../src/progress/progress-state.js';
import { SnapshotTransaction } from '../../../src/progress/snapshot-transaction.js';
import { MAX_VERSION } from '../../../src/core/version.js';
import type { FuzzTarget, Verdict } from '../target.js';
import { must, mustEqual } from '../target.js';
import { ascii, latin1, withHeader } from './inputs.js';

const KEY = 'job/x';

/** By the first byte of an input: decodes, encodes, decodes again. */
const RECORDS: readonly ((bytes: Uint8Array) => unknown)[] = [
  (bytes) => {
    const job = again(records.decodeJob, records.encodeJob)(bytes);
    const { ranges } = JSON.parse(Buffer.from(bytes).toString()) as { ranges: unknown };
    mustEqual(
      job.ranges.map(({ begin, end }) => ({ 0: toHex(begin), 1: toHex(end) })),
      (ranges as string[][]).map((pair) => ({ 0: pair[0], 1: pair[1] })),
      'ranges',
    );
    return job;
  },
  again(records.decodeStarted, records.encodeStarted),
  again(records.decodeProgress, records.encodeProgress),
  again(records.decodeEpoch, records.encodeEpoch),
  again(records.decodeVersion, records.encodeVersion),
  again(records.decodeOwner, records.encodeOwner),
  again(snapshots.decodeSnapshotRecord, snapshots.encodeSnapshotRecord),
];

function again<T>(decode: (key: string, bytes: Uint8Array) => T, encode: (value: T) => Uint8Array) {
  return (bytes: Uint8Array): T => {
    const value = decode(KEY, bytes);
    mustEqual(decode(KEY, encode(value)), value, 'decoded again');
    return value;
  };
}

const JOB: records.JobRecord = {
  uid: 'nightly',
  submission: 'ab',
  state: 'Running',
  url: 'file:///backup',
  ranges: [{ begin: Uint8Array.of(1), end: Uint8Array.of(2) }],
  logOnly: false,
  snapshotInterval: 1000,
  firstVersion: 1n,
  startVersion: 10n,
  completeFrom: 12n,
  stopVersion: -1n,
  failure: { code: 'LOG_GAP', message: 'a gap', tag: 1, lastGoodVersion: -1n },
  savedVersion: MAX_VERSION,
  bytes: 5,
  files: 1,
};

const GOOD_RECORDS: readonly Uint8Array[] = [
  withHeader([0], records.encodeJob(JOB)),
  withHeader([0], records.encodeJob({ ...JOB, failure: undefined, ranges: [], completeFrom: undefined })),
  withHeader(
    [1],
    records.encodeStarted([
      { uid: 'a', startVersion: 1n },
      { uid: 'b', startVersion: 2n, stopVersion: 3n },
    ]),
  ),
  withHeader(
    [2],
    records.encodeProgress({
      savedVersion: 9n,
      totalTags: 2,
      jobs: new Map([['a', { nextBegin: 1n, bytes: 2, files: 3 }]]),
    }),
  ),
  withHeader([3], records.encodeEpoch({ epoch: 3, begin: 5n, totalTags: 2 })),
  withHeader([4], records.encodeVersion(MAX_VERSION)),
  withHeader([5], records.encodeOwner('run')),
  withHeader(
    [6],
    snapshots.encodeSnapshotRecord({
      due: 5,
      requested: true,
      running: { leaseId: 'l', by: 'me', since: 3 },
      last: {
        name: 's',
        beginVersion: 1n,
        endVersion: 2n,
        startedAt: 1,
        finishedAt: 2,
        by: 'me',
        files: 1,
        rows: 2,
        bytes: 3,
      },
      failure: { code: 'TIMEOUT', message: 'm', at: 1, by: 'me', tries: 2 },
    }),
  ),
];

export const storeRecord: FuzzTarget = {
  name: 'store-record',
  weight: 12,
  form: 'json',
  headerBytes: 1,
  maxBytes: 2048,
  takesHuge: true,
  memory: { fixed: 512 << 10, perByte: 96 },
  batch: 256,
  codes: ['STORE_CORRUPT'],
  seeds: () => GOOD_RECORDS,
  run(input) {
    const value = (RECORDS[(input[0] ?? 0) % RECORDS.length] as (bytes: Uint8Array) => unknown)(input.subarray(1));
    JSON.stringify(value, (_name, member: unknown) => {
      if (typeof member === 'bigint') must(member >= -1n && member <= MAX_VERSION, `version ${member}`);
      return typeof member === 'bigint' ? null : member;
    });
    return 'accepted';
  },
};

/** A key, a line feed, a value: what another program may have put into the store. */
export const storeKey: FuzzTarget = {
  name: 'store-key',
  weight: 5,
  form: 'text',
  maxBytes: 512,
  takesHuge: true,
  memory: { fixed: 512 << 10, perByte: 96 },
  batch: 128,
  codes: ['STORE_CORRUPT'],
  maxMessage: 20_000,
  seeds: () =>
    [
      'progress/3/1',
      'noop/3/1',
      'done/3/1',
      'registered/x/3/1',
      'started',
      'epoch',
      'snapshot/x',
      jobKey('x'),
      'lease/snapshot/x',
    ].flatMap((key) =>
      [GOOD_RECORDS[2], GOOD_RECORDS[4]].map((value) => ascii(`${key}\n${latin1((value as Uint8Array).subarray(1))}`)),
    ),
  dictionary: ['progress/', 'noop/', 'done/', 'registered/x/', '/0', '999999999999999', '{"version":"7"}'].map(ascii),
  async run(input): Promise<Verdict> {
    const at = input.indexOf(0x0a);
    const key = latin1(at < 0 ? input : input.subarray(0, at));
    const value = at < 0 ? new Uint8Array(0) : input.slice(at + 1);
    if (key === '' || !/^[\x20-\x7e]+$/.test(key) || key.startsWith('lease/')) return 'refused';
    const tx = new SnapshotTransaction(new ProgressState(new Map([[key, value]])));
    const found = [
      ...(await access.readAllProgress(tx)),
      ...(await access.readAllNoop(tx)),
      ...(await access.readAllDone(tx)),
      ...(await access.readAllRegistered(tx, 'x')),
    ];
    await Promise.all([
      access.readStarted(tx),
      access.readEpoch(tx),
      access.readJob(tx, 'x'),
      access.readSnapshot(tx, 'x'),
    ]);
    for (const { epoch, tag } of found) {
      must(
        Number.isSafeInteger(epoch) && Number.isSafeInteger(tag) && epoch >= 0 && tag >= 0,
        `epoch ${epoch}, tag ${tag}`,
      );
    }
    return found.length > 0 ? 'accepted' : 'refused';
  },
};

const LEASE = encodeLease({ id: '01'.repeat(16), ttl: 10, endsAt: 20, value: Uint8Array.of(1, 2) });
const STATE = ProgressState.empty.with(
  new Map([
    ['a', Uint8Array.of(1)],
    ['lease/x', LEASE],
  ]),
);
const NEXT = `2-${'0a'.repeat(16)}`;

const FILES = [
  {
    decode: (text: string) => {
      const record = decodeCommit(text, 'commit-1');
      mustEqual(decodeCommit(encodeCommit(record), 'commit-1'), record, 'a commit, decoded again');
      use(ProgressState.empty.with(record.writes));
      must(record.number >= 0 && Number.isSafeInteger(record.number), `commit ${record.number}`);
      must(record.next === undefined || /^[0-9]+-[0-9a-f]+$/.test(record.next), `folder ${String(record.next)}`);
    },
  },
  {
    decode: (text: string) => {
      const record = decodeState(text, 'state');
      const { number, state, lastCommits } = decodeState(encodeState(record), 'state');
      mustEqual(
        [number, state.writes(), [...lastCommits]],
        [record.number, record.state.writes(), [...record.lastCommits]],
        'a state, decoded again',
      );
      must(number >= 0 && Number.isSafeInteger(number), `state ${number}`);
      use(record.state);
    },
  },
  {
    decode: (text: string) => {
      const { next } = decodeGenesis(text, 'genesis');
      mustEqual(decodeGenesis(encodeGenesis({ next }), 'genesis'), { next }, 'a genesis, decoded again');
      must(/^[0-9]+-[0-9a-f]+$/.test(next), `folder ${next}`);
    },
  },
] as const;

/** What a store does with its state. */
function use(state: ProgressState): void {
  state.endedLeases(15);
  state.range('', '~');
  must(!Number.isNaN(state.firstLeaseEnd ?? 0), 'a lease that ends at no time');
}

function body(text: string): Uint8Array {
  return ascii(text.slice(text.indexOf('\n') + 1, -1));
}

/** First byte: which file; 0x80: as it is, without a checksum of its own. */
export const storeFile: FuzzTarget = {
  name: 'store-file',
  weight: 8,
  form: 'json',
  headerBytes: 1,
  maxBytes: 2048,
  takesHuge: true,
  memory: { fixed: 768 << 10, perByte: 96 },
  batch: 256,
  codes: ['STORE_CORRUPT'],
  seeds: () => [
    withHeader(
      [0],
      body(
        encodeCommit({
          number: 3,
          client: 'c',
          attempt: 2,
          writes: new Map([
            ['a', undefined],
            ['b', Uint8Array.of(7)],
            ['lease/x', LEASE],
          ]),
          next: NEXT,
        }),
      ),
    ),
    withHeader([0], body(encodeCommit({ number: 3, client: 'c', attempt: 2, writes: new Map(), next: undefined }))),
    withHeader([1], body(encodeState({ number: 4, state: STATE, lastCommits: new Map([['c', 2]]) }))),
    withHeader([2], body(encodeGenesis({ next: NEXT }))),
    withHeader([0x80], ascii(encodeCommit({ number: 3, client: 'c', attempt: 2, writes: new Map(), next: NEXT }))),
  ],
  run(input) {
    const which = input[0] ?? 0;
    const text = Buffer.from(input.subarray(1)).toString('utf8');
    const sealed =
      (which & 0x80) !== 0 ? text : `tidemark-progress-1 ${createHash('sha256').update(text).digest('hex')}\n${text}\n`;
    (FILES[(which & 0x7f) % FILES.length] as (typeof FILES)[number]).decode(sealed);
    return 'accepted';
  },
};
