// Builds containers by hand: which tag has which versions, and what is in them.

import { MemoryContainer } from '../../src/container/memory-container.js';
import { utf8 } from '../../src/core/bytes.js';
import type { LogFileDescriptor } from '../../src/format/fdb/names.js';
import { logFileName } from '../../src/format/fdb/names.js';
import type { JobMarker } from '../../src/format/fdb/properties.js';
import { JOB_MARKER_NAME, encodeJobMarker } from '../../src/format/fdb/properties.js';
import type { TestRecord } from '../format/encode-log-file.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { encodeLogFile } from '../format/encode-log-file.js';

export async function newContainer(): Promise<MemoryContainer> {
  const container = new MemoryContainer();
  await container.create();
  return container;
}

export async function put(container: MemoryContainer, name: string, content: Uint8Array | string): Promise<void> {
  const file = await container.writeFile(name);
  await file.append([typeof content === 'string' ? utf8(content) : content]);
  await file.finish();
}

let files = 0;

/** Writes a log file and returns its name. */
export async function putLog(
  container: MemoryContainer,
  place: Pick<LogFileDescriptor, 'begin' | 'end' | 'tag' | 'totalTags'> & { readonly blockSize?: number },
  content: Uint8Array | readonly TestRecord[] = [],
): Promise<string> {
  const { blockSize = 1_048_576, ...rest } = place;
  const uid = (++files).toString(16).padStart(32, '0');
  const name = logFileName({ ...rest, uid, blockSize });
  await put(container, name, content instanceof Uint8Array ? content : encodeLogFile(content, blockSize));
  return name;
}

/** `'0/2': [[1, 10], [10, 20]]` : tag 0 of 2 has two files, [1, 10) and [10, 20). */
export async function putEmptyLogs(
  container: MemoryContainer,
  layout: Record<string, readonly (readonly [number, number])[]>,
): Promise<void> {
  for (const [tagOf, ranges] of Object.entries(layout)) {
    const [tag, totalTags] = tagOf.split('/').map(Number) as [number, number];
    for (const [begin, end] of ranges)
      await putLog(container, { begin: BigInt(begin), end: BigInt(end), tag, totalTags });
  }
}

export async function putMarker(container: MemoryContainer, marker: Partial<JobMarker> = {}): Promise<void> {
  const full = { uid: 'ab'.repeat(16), logOnly: true, ranges: [], startVersion: 0n, firstVersion: 1n, ...marker };
  await put(container, JOB_MARKER_NAME, encodeJobMarker(full));
}

/** Writes a manifest and its range file's name (the rows do not matter to describe). */
export async function putSnapshot(
  container: MemoryContainer,
  begin: bigint,
  end: bigint,
  options: {
    readonly missingFile?: boolean;
    /** Of the keys that it covers, as in JSON. */ readonly end?: string;
  } = {},
): Promise<string> {
  const uid = (++files).toString(16).padStart(32, '0');
  const range = `kvranges/snapshot.${begin.toString().padStart(18, '0')}/0/range,${end},${uid},1048576`;
  if (options.missingFile !== true) await put(container, range, '');
  const name = `snapshots/snapshot,${begin},${end},100`;
  const manifest = `{"beginVersion":${begin},"endVersion":${end},"files":["${range}"],"keyRanges":{"${range}":{"beginKey":"","endKey":"${options.end ?? '\\u00FF'}"}},"totalBytes":100}`;
  await put(container, name, manifest);
  return name;
}

/** The container, of which some calls never end: `hangs` says which, by name of the call and of the file or folder. */
export function hanging(
  container: BackupContainer,
  hangs: (call: 'exists' | 'listFiles' | 'readFile', name: string) => boolean,
): BackupContainer {
  const never = () => new Promise<never>(() => undefined);
  return {
    url: container.url,
    create: () => container.create(),
    exists: () => (hangs('exists', '') ? never() : container.exists()),
    writeFile: (name, options) => container.writeFile(name, options),
    readFile: (name, offset, length) => (hangs('readFile', name) ? never() : container.readFile(name, offset, length)),
    listFiles: (prefix) =>
      hangs('listFiles', prefix) ? { [Symbol.asyncIterator]: () => ({ next: never }) } : container.listFiles(prefix),
    deleteFile: (name) => container.deleteFile(name),
  };
}
