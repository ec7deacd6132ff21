// `npm run inspect`, apart from the process that it runs in.

import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BackupError, DirectoryContainer } from 'tidemark';
import { inspectBackupMeta, renderBackupMeta, renderBackupMetaJson } from 'tidemark/br';
import { readOptions, USAGE, UsageError } from './options.js';

export interface Output {
  /** Stays open. */
  readonly out: Writable;
  readonly complain: (text: string) => void;
}

/** The exit status: 1 for a backup that cannot be read, 2 for a wrong command line. */
export async function runInspect(args: readonly string[], { out, complain }: Output): Promise<number> {
  try {
    const { folder, name, json, cipher } = await readOptions(args);
    const description = await inspectBackupMeta(new DirectoryContainer(folder), { name, cipher });
    const text = json ? renderBackupMetaJson(description) : renderBackupMeta(description);
    await pipeline(Readable.from(text), out, { end: false });
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      complain(`${error.message}\n\n${USAGE}`);
      return 2;
    }
    const code = codeOf(error);
    // Whoever read the output has had enough (`| head`).
    if (code === 'EPIPE') return 0;
    if (code === undefined || !(error instanceof Error)) throw error;
    complain(BackupError.is(error) ? `${code}: ${error.message}` : error.message);
    return 1;
  }
}

/** Of a BackupError, or of the system's. */
function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
