// Deliberate mistakes, switched on by a test only: a simulator that finds none of them would prove nothing.

import { expiresRegardless, marksAfterDeleting, removesBeforeMerged } from './planted-care.js';
import {
  keepsAbortedFiles,
  keepsForeignMemory,
  savesBeforeFiles,
  skipsEmptyFiles,
  splitsVersions,
  sumsAfterFile,
} from './planted-container.js';
import * as fleet from './planted-fleet.js';
import * as log from './planted-log.js';
import { callsDoneAtOnce, drainsOneTooFew, recruitsOneTooHigh } from './planted-recruiter.js';
import { checkpointOneLate, overlapsAppliedTwice } from './planted-restore.js';
import type { PlantedOptions, SimRules } from './planted-rules.js';
import { KNOWN_SEEDS } from './planted-seeds.js';
import * as snapshots from './planted-snapshots.js';
import * as store from './planted-store.js';
import { TwiceReleasedLock } from './planted-worker.js';

export type { SimRules } from './planted-rules.js';

export interface PlantedBug {
  readonly name: string;
  /** The rule of docs/protocol.md that it breaks, or the page. */
  readonly breaks: string;
  readonly rules: SimRules;
  /** The checks of which one must be what finds it. */
  readonly foundBy: readonly string[];
  /** Seeds that are known to find it: the search begins with them. */
  readonly from: readonly number[];
}

type Mistake = Omit<PlantedBug, 'from'>;

const NOT_RECORDED = 'nothing is popped that is not recorded (P5)';
const NOT_STORED = 'recorded versions are stored';
const FITS = 'file within its epoch (P14)';
const CONTENT = 'file content';
const STORED_WITH_TIME = 'a version with a time is stored by every tag (P26)';
const NEEDED_LOG = 'no log goes that is needed';
/** The port's contract, watched at the door. */
const WORKER = 'a worker fails only when it must';
const EXACT = 'a restore is exact';

const workers: readonly Mistake[] = [
  {
    name: 'pop before save',
    breaks: 'P4, P5',
    rules: { worker: { savesBeforePop: false } },
    foundBy: [NOT_RECORDED],
  },
  {
    name: 'save above the committed version',
    breaks: 'P14',
    rules: { worker: { cut: ({ pulledEnd }) => pulledEnd - 1n } },
    foundBy: ['nothing above the committed version (P14)', FITS, CONTENT],
  },
  {
    name: 'drop the queue on displacement',
    breaks: 'invariant 7',
    rules: { worker: { keepsQueueOnDisplacement: false } },
    foundBy: [CONTENT],
  },
  {
    name: 'forget the true-up',
    breaks: 'P2',
    rules: { worker: { firstVersion: (startVersion) => startVersion } },
    foundBy: [
      CONTENT,
      FITS,
      'firstVersion lies above what the log has discarded (P2)',
      'firstVersion lies above what is recorded as discarded (P2, P6)',
    ],
  },
  {
    name: 'accept any popped gap',
    breaks: 'P7',
    rules: { worker: { acceptGap: () => true } },
    foundBy: [CONTENT],
  },
  {
    name: 'no claim check',
    breaks: 'P1',
    rules: { worker: { checksClaim: false } },
    foundBy: ['firstVersion is fixed once (P2)', 'saved version never goes back (P4)'],
  },
  {
    name: 'fix a first version while a NOOP is in flight',
    breaks: 'P2, scenario 4',
    rules: { worker: { awaitsNoop: false } },
    foundBy: [
      CONTENT,
      'firstVersion lies above what the log has discarded (P2)',
      'firstVersion lies above what is recorded as discarded (P2, P6)',
    ],
  },
  {
    name: 'let a job that has left join again',
    breaks: 'P9, scenario 8',
    rules: { worker: { remembersLeavers: false } },
    foundBy: ['firstVersion is fixed once (P2)'],
  },
  {
    name: 'leave a file whole across folders',
    breaks: 'P20',
    rules: { worker: { splitFile: () => [] } },
    foundBy: ['a long file is split at the last boundary of folders (P20)'],
  },
  {
    name: 'release the lock twice',
    breaks: 'invariant 6',
    rules: { worker: { makeLock: (permits, options) => new TwiceReleasedLock(permits, options) } },
    foundBy: [
      'permits are held for what is queued',
      'the lock gives out no more than it has',
      'memory within the lock',
    ],
  },
];

function host(name: string, breaks: string, options: PlantedOptions, foundBy: readonly string[]): Mistake {
  return { name, breaks, rules: { host: { options } }, foundBy };
}

const files: readonly Mistake[] = [
  host('split a version over two files', 'invariant 2', splitsVersions, [CONTENT]),
  host('skip an empty file', 'invariant 4, P17', skipsEmptyFiles, [NOT_STORED]),
  host('progress before the files', 'P4', savesBeforeFiles, [NOT_STORED]),
  host('keep what was given up', 'ports', keepsAbortedFiles, [CONTENT, 'checksums before the file']),
  host("keep memory that is the writer's", 'ports', keepsForeignMemory, [CONTENT, 'no file is half-visible']),
  host('checksums after the file', 'P25', sumsAfterFile, ['checksums before the file']),
];

const stores: readonly Mistake[] = [
  host('lose a watch', 'P2', (options) => ({ ...options, pollInterval: 2 ** 31 - 1 }), ['liveness']),
  host('call a job started by the wrong epoch', 'P3, scenario 3', store.startedByAnyEpoch, [
    'a job is started when every tag has registered (P3)',
  ]),
  host('a replacement forgets the registered first version', 'P12', store.registrationsForgotten, [
    'firstVersion is fixed once (P2)',
  ]),
  host('refuse a NOOP that is tried again', 'P6, scenario 5', store.retriedNoopRefuses, [
    'firstVersion lies above what is recorded as discarded (P2, P6)',
  ]),
];

const logs: readonly Mistake[] = [
  host('a committed version beyond the end of the epoch', 'P14, scenario 1', log.uncappedCommitted, [
    'NOOP only up to the committed version (P6, P14)',
    'saved version is committed (P14)',
    FITS,
  ]),
  host('stop at what the own epoch has committed', 'P8, scenario 2', log.stopVersionOfOwnEpoch, [
    'the stop version is what was committed after the call (P8)',
  ]),
  host('ask nobody what is committed', 'P15, scenario 7', log.committedByPeeksOnly, ['liveness']),
  host('no idle rounds', 'P17', (options) => ({ ...options, idleUploadDelay: 2 ** 31 - 1 }), ['liveness']),
  host('pop while an older epoch is unfinished', 'P5', log.ownEpochIsOldest, [
    'no pop while an older epoch is unfinished (P5)',
    STORED_WITH_TIME,
  ]),
  host('pop one version too far', 'P5', log.popsOneTooFar, [NOT_RECORDED]),
  host('the end of a peek taken for inclusive', 'ports', log.peeksEndTooFar, [CONTENT]),
  host('a key interval that ends at its last key', 'P19', log.keyIntervalTooShort, [CONTENT, WORKER]),
  host('the time before the question', 'P26', log.timeBeforeQuestion, [
    'all that a version stands for was committed at its time (P26)',
  ]),
];

const recruiters: readonly Mistake[] = [
  {
    name: 'recruit from the wrong version',
    breaks: 'P23',
    rules: { host: { plan: recruitsOneTooHigh } },
    foundBy: [
      'the saved version of a job is stored by every tag',
      'a job is complete from completeFrom on',
      STORED_WITH_TIME,
      'a completed job is complete (P8)',
    ],
  },
  {
    name: 'drain to the version before the last',
    breaks: 'P11, P23',
    rules: { host: { plan: drainsOneTooFew } },
    foundBy: [NOT_STORED],
  },
  {
    name: 'call an old epoch done undrained',
    breaks: 'P11',
    rules: { host: { plan: callsDoneAtOnce } },
    foundBy: [NOT_STORED],
  },
];

const others: readonly Mistake[] = [
  {
    name: 'a snapshot below completeFrom',
    breaks: 'P3, S3',
    rules: { snapshots: { take: snapshots.takeAtAnyVersion } },
    foundBy: ['no snapshot below completeFrom (P3, S3)'],
  },
  {
    name: 'the manifest before the last range file',
    breaks: 'docs/snapshots.md',
    rules: { snapshots: { take: snapshots.takeWithoutWaiting } },
    foundBy: ['no half snapshot is listed'],
  },
  {
    name: 'a scan that was cut off taken for whole',
    breaks: 'docs/snapshots.md',
    rules: { snapshots: { take: snapshots.takeWhatWasScanned } },
    foundBy: ['rows of a snapshot'],
  },
  {
    name: 'no fence behind a lease',
    breaks: 'S2',
    rules: { snapshots: { store: snapshots.withoutFence } },
    foundBy: ['only who holds the lease records (S2)'],
  },
  {
    name: 'expire spares one log file that reaches across the end',
    breaks: 'docs/care.md',
    rules: { care: { expire: snapshots.expireAllButOne } },
    foundBy: [NEEDED_LOG],
  },
  {
    name: 'expire without looking for a snapshot that stays',
    breaks: 'docs/care.md',
    rules: { care: { expire: expiresRegardless } },
    foundBy: ['what is to stay restorable does', 'an expiry leaves something to restore'],
  },
  {
    name: 'expire deletes before it says so',
    breaks: 'docs/care.md',
    rules: { care: { expire: marksAfterDeleting } },
    foundBy: [NEEDED_LOG],
  },
  {
    name: 'compact removes before the merged file is there',
    breaks: 'docs/care.md',
    rules: { care: { compact: removesBeforeMerged } },
    foundBy: [NEEDED_LOG],
  },
  {
    name: 'apply log mutations under a snapshot row',
    breaks: 'invariant 12',
    rules: { restored: snapshots.rowsTakenForOlder },
    foundBy: [EXACT],
  },
  {
    name: 'apply overlapping files twice',
    breaks: 'invariant 11, P13',
    rules: { restored: overlapsAppliedTwice },
    foundBy: [EXACT],
  },
  {
    name: 'a checkpoint one apply late',
    breaks: 'docs/restore.md',
    rules: { target: checkpointOneLate },
    foundBy: [EXACT],
  },
];

const fleets: readonly Mistake[] = [
  {
    name: 'a fleet without the fence',
    breaks: 'F3',
    rules: { fleet: { rules: { fencesWorkers: false } } },
    foundBy: ['only the host that has the tag, and its lease, records (F3)'],
  },
  {
    name: 'take over from a host whose lease lives',
    breaks: 'F2',
    rules: { fleet: { rules: { respectsLeases: false } } },
    foundBy: ['nothing is taken from a host whose lease lives (F2)'],
  },
  {
    name: 'take tags without a look at the own lease',
    breaks: 'F1, F2',
    rules: { fleet: { store: fleet.assignsUnseen } },
    foundBy: ['a host takes tags under its own living lease (F1)'],
  },
  {
    name: 'go on after the lease is lost',
    breaks: 'F1',
    rules: { fleet: { rules: { stopsWithoutLease: false } } },
    foundBy: ['a host without a lease runs no worker (F1)', 'every planned worker runs on exactly one live host (F2)'],
  },
  {
    name: 'keep what is more than a share',
    breaks: 'F4',
    rules: { fleet: { rules: { share: fleet.keepsSurplus } } },
    foundBy: ['the loads of live hosts differ by one at most (F4)'],
  },
];

export const PLANTED_BUGS: readonly PlantedBug[] = [workers, files, stores, logs, recruiters, others, fleets]
  .flat()
  .map((mistake) => ({ ...mistake, from: KNOWN_SEEDS[mistake.name] ?? [] }));
