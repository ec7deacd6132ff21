// The file that a reader reads, and how it is refused: always with its name and the offset.

import type { BackupErrorCode } from '../../core/errors.js';
import { BackupError } from '../../core/errors.js';
import { asPlainBytes } from './codecs/as-buffer.js';

/** Where the bytes come from. The reader never closes it. */
export interface SstFile {
  /** For errors. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** `length` bytes from `offset`; fewer only where the file ends before, which the reader then refuses. The memory belongs to the reader. Calls overlap: a scan has two under way. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

export function refuseSst(
  file: Pick<SstFile, 'name'>,
  offset: number,
  what: string,
  code: BackupErrorCode = 'CORRUPT_FILE',
  cause?: unknown,
): never {
  throw new BackupError(code, `${file.name} at offset ${offset}: ${what}`, { file: file.name, offset, cause });
}

/** Exactly `length` bytes; CORRUPT_FILE for fewer, ADAPTER_CONTRACT for what `read` must not give. */
export async function readExactly(file: SstFile, offset: number, length: number): Promise<Uint8Array> {
  const bytes: unknown = await file.read(offset, length);
  // Not the file's fault: it must not be taken for a damaged one.
  if (!(bytes instanceof Uint8Array) || bytes.length > length) {
    const what = bytes instanceof Uint8Array ? `${bytes.length} bytes` : `no Uint8Array but ${typeof bytes}`;
    refuseSst(file, offset, `read was asked for ${length} bytes and gave ${what}`, 'ADAPTER_CONTRACT');
  }
  if (bytes.length < length) {
    refuseSst(file, offset, `${length} bytes were asked for, ${bytes.length} came: the file is cut off`);
  }
  return asPlainBytes(bytes);
}
