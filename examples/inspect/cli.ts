// npm run inspect -- backupmeta PATH: what a TiKV backup (BR's) says of itself. Exits with 1 for a backup that cannot be read, with 2 for a wrong command line.

import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BackupError, DirectoryContainer } from 'tidemark';
import { inspectBackupMeta, renderBackupMeta, renderBackupMetaJson } from 'tidemark/br';
import { readOptions, USAGE, UsageError } from './options.js';

async function main(args: readonly string[]): Promise<void> {
  const { folder, name, json, cipher } = await readOptions(args);
  const description = await inspectBackupMeta(new DirectoryContainer(folder), { name, cipher });
  const text = json ? renderBackupMetaJson(description) : renderBackupMeta(description);
  await pipeline(Readable.from(text), process.stdout, { end: false });
}

function systemError(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`${error.message}\n\n${USAGE}`);
    process.exitCode = 2;
  } else if (BackupError.is(error)) {
    console.error(`${error.code}: ${error.message}`);
    process.exitCode = 1;
  } else if (systemError(error) === 'EPIPE') {
    // Whoever read the output has had enough (`| head`).
    process.exitCode = 0;
  } else if (error instanceof Error && systemError(error) !== undefined) {
    console.error(error.message);
    process.exitCode = 1;
  } else {
    throw error;
  }
}
