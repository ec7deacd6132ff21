// Small files of a container, read and written whole.

import { abortable, abortableStream } from '../core/abort.js';
import { equalBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { BackupContainer, BackupFile, ListedFile } from '../ports/backup-container.js';
import type { readToEnd } from '../ports/read-to-end.js';
import type { RetryPolicy } from './backoff.js';
import { retrying } from './backoff.js';

/** How the calls are made: with retries, until the signal aborts. */
export interface Access {
  readonly policy: RetryPolicy;
  readonly signal: AbortSignal;
}

const readOnce: typeof readToEnd = (container, name, maxBytes) => container.readFile(name, 0, maxBytes + 1);

/** undefined: there is no such file. `read`: `readToEnd` for a file that does not say itself where it ends. */
export async function readWhole(
  container: BackupContainer,
  name: string,
  maxBytes: number,
  { policy, signal }: Access,
  read = readOnce,
): Promise<Uint8Array | undefined> {
  try {
    const bytes = await retrying(policy, signal, () => abortable(read(container, name, maxBytes), signal));
    if (bytes.length <= maxBytes) return bytes;
    throw new BackupError('CORRUPT_FILE', `${name} is larger than ${maxBytes} bytes`, { file: name, offset: maxBytes });
  } catch (error) {
    if (BackupError.is(error, 'FILE_NOT_FOUND')) return undefined;
    throw error;
  }
}

/** The whole listing, so that it can be begun anew when it fails in the middle. */
export function listAll(container: BackupContainer, prefix: string, { policy, signal }: Access): Promise<ListedFile[]> {
  return retrying(policy, signal, async () => {
    const files: ListedFile[] = [];
    for await (const file of abortableStream(container.listFiles(prefix), signal)) files.push(file);
    return files;
  });
}

/** Writes a file that is not there yet. FILE_EXISTS when one of that name holds anything else. */
export async function writeNew(
  container: BackupContainer,
  name: string,
  bytes: Uint8Array,
  access: Access,
): Promise<void> {
  try {
    await retrying(access.policy, access.signal, () => writeOnce(container, name, bytes, true, access.signal));
  } catch (error) {
    if (!BackupError.is(error, 'FILE_EXISTS')) throw error;
    // Either the answer to an earlier try was lost, or this is what an earlier run wrote. If it cannot be read, the first error says what there is to say.
    const there = await readWhole(container, name, bytes.length, access).catch(() => undefined);
    access.signal.throwIfAborted();
    if (there === undefined || !equalBytes(there, bytes)) throw error;
  }
}

/** Writes a file, in the place of one of that name. */
export async function writeOver(
  container: BackupContainer,
  name: string,
  bytes: Uint8Array,
  { policy, signal }: Access,
): Promise<void> {
  await retrying(policy, signal, () => writeOnce(container, name, bytes, false, signal));
}

async function writeOnce(
  container: BackupContainer,
  name: string,
  bytes: Uint8Array,
  exclusive: boolean,
  signal: AbortSignal,
): Promise<void> {
  const abort = (file: BackupFile) => file.abort().catch(ignoreFailure);
  const file = await abortable(container.writeFile(name, { exclusive }), signal, (late) => void abort(late));
  try {
    if (bytes.length > 0) await abortable(file.append([bytes]), signal);
    await abortable(file.finish(), signal);
  } catch (error) {
    await abort(file);
    throw error;
  }
}

export async function deleteAll(container: BackupContainer, names: readonly string[], access: Access): Promise<void> {
  for (const name of names) {
    await retrying(access.policy, access.signal, () => abortable(container.deleteFile(name), access.signal));
  }
}

/** What made the write fail is known already; what an abort leaves behind is never listed. */
function ignoreFailure(): void {
  return undefined;
}
