// What a BR backup that is cut off has stored already: entries beside its files, each with the answers of some ranges. BR's own tools pass over them; they are removed when the backup is complete.

import { createHash } from 'node:crypto';
import { abortable } from '../../core/abort.js';
import { equalBytes } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { BrCipherStream, isEncrypting } from '../../format/br/cipher.js';
import { parseBrFileName } from '../../format/br/file-name.js';
import type { BrMessages } from '../../format/br/message-codec.js';
import type { BrCipher, BrFile } from '../../format/br/messages.js';
import { BLOCK_BASED_MAGIC } from '../../format/sst/footer.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import { retrying } from '../../snapshot/backoff.js';
import { disjointWithin } from '../../snapshot/coverage.js';
import { findGone } from '../../snapshot/half-snapshot.js';
import { type Access, listAll, readWhole } from '../../snapshot/small-files.js';
import type { BrRangeStored } from './br-range-response.js';

export const CHECKPOINT_FOLDER = 'checkpoints/tidemark/';
const MAX_CHECKPOINT_BYTES = 256 << 20;
const READ_BYTES = 1 << 20;

/** An entry of a backup. */
export function checkpointName(backupId: string, uid: string): string {
  return `${CHECKPOINT_FOLDER}${backupId}/${uid}`;
}

export function encodeCheckpoint(messages: BrMessages, answers: readonly BrRangeStored[]): Uint8Array {
  const ranges = answers.map(({ range, files }) => ({ startKey: range.begin, endKey: range.end, files }));
  return messages.encode('BackupMeta', { ranges });
}

export interface StoredAnswers {
  /** In key order, within the ranges, without overlap; all their files are there. */
  readonly answers: readonly BrRangeStored[];
  /** Names of the entries. */
  readonly entries: readonly string[];
}

export interface CheckpointsOf {
  readonly backupId: string;
  readonly ranges: readonly KeyRange[];
  readonly cipher: BrCipher | undefined;
}

/** What the entries of a backup tell of; one that is damaged costs the work that it stands for. ENCRYPTION_KEY_WRONG when its files were encrypted with another key. */
export async function readCheckpoints(
  container: BackupContainer,
  messages: BrMessages,
  { backupId, ranges, cipher }: CheckpointsOf,
  access: Access,
): Promise<StoredAnswers> {
  const recorded: BrRangeStored[] = [];
  const entries: string[] = [];
  for (const { name } of await listAll(container, `${CHECKPOINT_FOLDER}${backupId}/`, access)) {
    entries.push(name);
    recorded.push(...(await readEntry(container, messages, name, access)));
  }
  const gone = await goneFiles(container, recorded, access);
  const there = recorded.filter(({ files }) => !files.some(({ name }) => gone.has(name)));
  const whole = await stillTheSame(container, there, access);
  const encrypted = whole.flatMap(({ files }) => files).find(({ cipherIv }) => cipherIv.length > 0);
  if (encrypted !== undefined && isEncrypting(cipher)) await checkKey(container, encrypted, cipher, access);
  return { answers: disjointWithin(whole, ranges), entries };
}

async function readEntry(
  container: BackupContainer,
  messages: BrMessages,
  name: string,
  access: Access,
): Promise<BrRangeStored[]> {
  try {
    const bytes = await readWhole(container, name, MAX_CHECKPOINT_BYTES, access);
    if (bytes === undefined) return [];
    const { ranges } = messages.decode('BackupMeta', bytes, { file: name });
    return ranges
      .filter(({ files }) => files.every((file) => parseBrFileName(file.name) !== undefined))
      .map(({ startKey, endKey, files }) => ({ range: { begin: startKey, end: endKey }, files }));
  } catch (error) {
    if (BackupError.is(error, 'CORRUPT_FILE')) return [];
    throw error;
  }
}

async function goneFiles(
  container: BackupContainer,
  answers: readonly BrRangeStored[],
  access: Access,
): Promise<Set<string>> {
  const files = answers.flatMap((answer) => answer.files).map(({ name, size }) => ({ name, size: Number(size) }));
  return new Set((await findGone(container, files, access)).map(({ name }) => name));
}

/** Without the answers whose file another run has written again: of the same size, but encrypted with another IV, say. Only names without a time are given twice, which one file of raw rows has at most. */
async function stillTheSame(
  container: BackupContainer,
  answers: readonly BrRangeStored[],
  access: Access,
): Promise<BrRangeStored[]> {
  const same: BrRangeStored[] = [];
  for (const answer of answers) {
    const shared = answer.files.filter(({ name }) => parseBrFileName(name)?.unixMs === undefined);
    const found = await Promise.all(
      shared.map(async (file) => equalBytes(await sha256Of(container, file, access), file.sha256)),
    );
    if (found.every((isSame) => isSame)) same.push(answer);
  }
  return same;
}

async function sha256Of(
  container: BackupContainer,
  { name, size }: BrFile,
  { policy, signal }: Access,
): Promise<Uint8Array> {
  const hash = createHash('sha256');
  for (let at = 0; at < Number(size); at += READ_BYTES) {
    const length = Math.min(READ_BYTES, Number(size) - at);
    const read = () => abortable(container.readFile(name, at, length), signal);
    hash.update(await retrying(policy, signal, read));
  }
  return hash.digest();
}

/** The end of every SST file is known. */
async function checkKey(
  container: BackupContainer,
  { name, size, cipherIv }: BrFile,
  cipher: BrCipher,
  { policy, signal }: Access,
): Promise<void> {
  const at = Number(size) - BLOCK_BASED_MAGIC.length;
  const stored = await retrying(policy, signal, () => container.readFile(name, at, BLOCK_BASED_MAGIC.length));
  const end = new BrCipherStream(cipher, cipherIv, at, name).update(stored);
  if (equalBytes(end, Uint8Array.from(BLOCK_BASED_MAGIC))) return;
  throw new BackupError(
    'ENCRYPTION_KEY_WRONG',
    `${name} was encrypted with another key: a backup has one key for all its files`,
    { file: name, container: container.url },
  );
}
