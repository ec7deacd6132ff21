// Reading a small file that says nothing itself of where it ends: the first half of a number is a number too.

import type { BackupContainer } from './backup-container.js';
import { brokenContract } from './broken-contract.js';

/** A file that is replaced by a longer one in between looks as if the read had been short. */
const READ_ATTEMPTS = 3;

/**
 * The file's bytes, no more than `maxBytes + 1` of them: with so many it is longer than it may be. ADAPTER_CONTRACT where `readFile` gives less than there is; FILE_NOT_FOUND if there is no such file.
 */
export async function readToEnd(container: BackupContainer, name: string, maxBytes: number): Promise<Uint8Array> {
  let bytes: Uint8Array | undefined;
  for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
    bytes = await container.readFile(name, 0, maxBytes + 1);
    if (bytes.length > maxBytes) return bytes;
    const behind = await container.readFile(name, bytes.length, 1);
    if (behind.length === 0) return bytes;
  }
  throw brokenContract(
    'BackupContainer.readFile',
    `it gave ${bytes?.length} bytes of ${name}, ${maxBytes + 1} were asked for, and the file goes on behind them`,
    { file: name, offset: bytes?.length, container: container.url },
  );
}
