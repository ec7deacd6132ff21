// Damage to a container's files, as an input of the fuzzer tells it: bytes that change, files that go or come, names that say what no writer would have them say.

import { fileNameProblem } from '../../../src/core/file-name.js';
import type { GoodBackup } from './good-backups.js';
import type { InputReader } from './inputs.js';

const UID = '0123456789abcdef0123456789abcdef';
const MAX = '9223372036854775807';

/** Names that parse and lie, or nearly parse. */
export const HOSTILE_NAMES = [
  `plogs/0000/0000/log,0,${MAX},${UID},0-of-1,1048576`,
  `plogs/0000/0000/log,1,2,${UID},0-of-1,5`,
  `plogs/0000/0000/log,1,160,${UID},65534-of-65535,1048576`,
  `plogs/0000/0000/log,1,160,${UID},65535-of-65535,1048576`,
  `plogs/0000/0000/log,1,160,${UID},999999998-of-999999999,1048576`,
  `plogs/0000/0000/log,1,160,${UID},9007199254740990-of-9007199254740991,1073741824`,
  `plogs/0000/0000/log,1,9223372036854775808,${UID},0-of-1,1048576`,
  `plogs/0000/0000/log,-5,160,${UID},0-of-1,1048576`,
  `plogs/0000/0000/log,1,160,${UID},0-of-1,0`,
  `plogs/0000/0000/log,1,160,${UID},0-of-1,1099511627776`,
  `plogs/0000/0000/log,100,100,${UID},0-of-1,1048576`,
  `plogs/9999/9999/log,${MAX},${MAX},${UID},0-of-1,1048576`,
  `plogs/x/log,5,6,a b c,0-of-2,64`,
  `logs/0000/0000/log,0,${MAX},${UID},1048576`,
  `kvranges/snapshot.000000000000000001/0/range,1,${UID},1048576`,
  `kvranges/snapshot.${MAX}/9007199254740991/range,${MAX},${UID},1073741824`,
  'snapshots/snapshot,0,0,0',
  `snapshots/snapshot,1,${MAX},9007199254740991`,
  `snapshots/snapshot,${MAX},${MAX},1`,
  'snapshots/snapshot,5,9,1,bulk',
  'properties/tidemark_snapshot,0,0,0',
  `properties/tidemark_snapshot,1,${MAX},9007199254740991`,
  `properties/tidemark_snapshot_part,5,${UID},1700000000000`,
  `properties/tidemark_snapshot_part,${MAX},${UID},${UID}`,
  `properties/tidemark_times/${MAX},8640000000000001`,
  'properties/tidemark_times/0000000000000000005,1',
  `properties/tidemark_sums/plogs/0000/0000/sums,log,0,${MAX},${UID},0-of-1,1048576`,
  'properties/tidemark_sums/plogs/sums,x',
  'properties/tidemark_job',
  'properties/tidemark_key_check',
  'properties/expired_end_version',
  'properties/unreliable_end_version',
  'properties/log_begin_version',
  'properties/log_end_version',
  'properties/mutation_log_type',
  'properties/encryption_metadata',
] as const;

const CONTENTS = ['', '0', '1', '2', MAX, '9223372036854775808', '-1', '{}', '[]', '{"files":[]}', 'null', '\xff'];
const EDGES = [
  '0',
  '1',
  '-1',
  '9007199254740993',
  MAX,
  '9223372036854775808',
  '1048576',
  '5',
  '65535',
  '1099511627776',
  '',
];

type Kind = 'data' | 'manifest' | 'sums' | 'sidecar' | 'property';

function kindOf(name: string): Kind {
  if (name.startsWith('snapshots/')) return 'manifest';
  if (name.startsWith('properties/tidemark_sums/')) return 'sums';
  if (name.startsWith('properties/tidemark_snapshot,')) return 'sidecar';
  return name.startsWith('properties/') ? 'property' : 'data';
}

export interface Damaged {
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Files whose bytes changed and that are still there. */
  readonly changed: readonly string[];
  /** A name was added or changed, or a file under properties/ that no checksum covers: nobody can tell that from the truth. */
  readonly isForged: boolean;
  /** A file of checksums was changed or deleted, and files that it may have been of were changed too. */
  readonly isUncovered: boolean;
}

export function damage(backup: GoodBackup, reader: InputReader): Damaged {
  const files = new Map(backup.files);
  let isForged = false;
  for (let left = 8; left > 0 && !reader.atEnd; left--) isForged = step(backup, files, reader) || isForged;
  const changed: string[] = [];
  let sumsGone = false;
  for (const [name, before] of backup.files) {
    const after = files.get(name);
    const isSame = after !== undefined && Buffer.compare(after, before) === 0;
    if (isSame) continue;
    if (kindOf(name) === 'property') isForged = true;
    if (kindOf(name) === 'sums' || kindOf(name) === 'sidecar') sumsGone = true;
    if (after !== undefined) changed.push(name);
  }
  const dataChanged = changed.some((name) => kindOf(name) === 'data' || kindOf(name) === 'manifest');
  return { files, changed, isForged, isUncovered: sumsGone && dataChanged };
}

/** True: what it did no checksum can show. */
function step(backup: GoodBackup, files: Map<string, Uint8Array>, reader: InputReader): boolean {
  const op = reader.byte() % 12;
  const name = backup.names[reader.u16() % backup.names.length] as string;
  const bytes = files.get(name);
  if (op === 10) return addName(files, HOSTILE_NAMES[reader.byte() % HOSTILE_NAMES.length] as string, bytes, reader);
  if (bytes === undefined) return false;
  if (op === 11) return rename(files, name, bytes, reader);
  if (op === 9) {
    files.delete(name);
    return false;
  }
  files.set(
    name,
    changeBytes(op, bytes, files.get(backup.names[reader.u16() % backup.names.length] as string), reader),
  );
  return false;
}

function changeBytes(op: number, bytes: Uint8Array, other: Uint8Array | undefined, reader: InputReader): Uint8Array {
  const at = bytes.length === 0 ? 0 : reader.u32() % bytes.length;
  const length = 1 + (reader.byte() % 16);
  const copy = bytes.slice();
  switch (op) {
    case 0:
    case 1:
      if (copy.length > 0) copy[at] = (copy[at] as number) ^ (1 << (length & 7));
      return copy;
    case 2:
      return bytes.subarray(0, at);
    case 3:
      return new Uint8Array(0);
    case 4:
      copy.set(reader.bytes(Math.min(length, copy.length - at)), at);
      return copy;
    case 5:
      return new Uint8Array(Buffer.concat([bytes, reader.bytes(length)]));
    case 6:
      return new Uint8Array(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]));
    case 7:
      return copy.fill(length % 2 === 0 ? 0 : 0xff, at, at + length * 32);
    default:
      return other ?? copy;
  }
}

function addName(
  files: Map<string, Uint8Array>,
  name: string,
  like: Uint8Array | undefined,
  reader: InputReader,
): boolean {
  const choice = reader.byte();
  const text = CONTENTS[choice % CONTENTS.length] as string;
  files.set(name, choice < 128 && like !== undefined ? like : new Uint8Array(Buffer.from(text, 'latin1')));
  return true;
}

/** One of the numbers in the name becomes another. */
function rename(files: Map<string, Uint8Array>, name: string, bytes: Uint8Array, reader: InputReader): boolean {
  const numbers = [...name.matchAll(/(?<![0-9a-f])[0-9]+(?![0-9a-f])/g)];
  const chosen = numbers[reader.byte() % Math.max(1, numbers.length)];
  if (chosen === undefined) return false;
  const next = name.slice(0, chosen.index) + reader.pick(EDGES) + name.slice(chosen.index + chosen[0].length);
  if (fileNameProblem(next) !== undefined) return false;
  if (reader.byte() < 128) files.delete(name);
  files.set(next, bytes);
  return true;
}
