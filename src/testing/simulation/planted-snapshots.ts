// Deliberate mistakes around snapshots, made from outside: each wraps what the library is given, so that it behaves as if it had the mistake itself.

import { BackupError } from '../../core/errors.js';
import type { BackupContainer, ListedFile } from '../../ports/backup-container.js';
import type { RangeSource } from '../../ports/range-source.js';
import type { Lease, ProgressStore } from '../../ports/progress-store.js';
import { isLeaseKey } from '../../progress/lease-record.js';
import { expireBackup } from '../../restore/expire.js';
import { takeSnapshot } from '../../snapshot/take-snapshot.js';
import { containerWith, finishingByAndBy } from './planted-wrappers.js';
import { parseLogName } from './read-log-file.js';
import { parseSnapshotName } from './read-range-file.js';

/** Rows of whatever version is committed, whether or not the job's log reaches back to it. */
export const takeAtAnyVersion: typeof takeSnapshot = (options) => takeSnapshot({ ...options, atLeast: 0n });

/** A scan that is cut off, because its region has changed, counts as one that has come to its end. */
export const takeWhatWasScanned: typeof takeSnapshot = (options) => {
  const { source } = options;
  const trusting: RangeSource = {
    ...source,
    async *scan(request) {
      let hasRows = false;
      try {
        for await (const batch of source.scan(request)) {
          hasRows = true;
          yield batch;
        }
      } catch (error) {
        if (!hasRows || !BackupError.is(error, 'REGION_CHANGED')) throw error;
      }
    },
  };
  return takeSnapshot({ ...options, source: trusting });
};

/** Range files are finished by and by: nobody waits for them, and they count as there at once. */
export const takeWithoutWaiting: typeof takeSnapshot = (options) => {
  const { container } = options;
  const { container: unlisted, believed } = finishingByAndBy(container, 'kvranges/');
  const hasty = containerWith(unlisted, {
    async *listFiles(prefix) {
      const files: ListedFile[] = [];
      for await (const file of container.listFiles(prefix)) if (!believed.has(file.name)) files.push(file);
      for (const [name, { length }] of believed) if (name.startsWith(prefix)) files.push({ name, size: length });
      yield* files.sort(byName);
    },
  });
  return takeSnapshot({ ...options, container: hasty });
};

/** Who once had a lease believes for ever that it has it. */
export function withoutFence(store: ProgressStore): ProgressStore {
  const own = new Map<string, Uint8Array>();
  return {
    transact: (body) =>
      store.transact((tx) =>
        body({
          get: async (key) => (isLeaseKey(key) ? own.get(key) : undefined) ?? (await tx.get(key)),
          getRange: (begin, end) => tx.getRange(begin, end),
          set: (key, value) => tx.set(key, value),
          clear: (key) => tx.clear(key),
        }),
      ),
    watch: (key, seen, signal) => store.watch(key, seen, signal),
    acquireLease: async (request): Promise<Lease | undefined> => {
      const lease = await store.acquireLease(request);
      if (lease === undefined) return undefined;
      own.set(request.key, request.value);
      const release = () => {
        own.delete(request.key);
        return lease.release();
      };
      return { key: lease.key, renew: () => lease.renew().catch(() => undefined), release };
    },
  };
}

/** Of the log files that reach across the end of an expiry only the first stays. */
export const expireAllButOne: typeof expireBackup = async (container, options) => {
  const result = await expireBackup(container, options);
  if (options.dryRun === true) return result;
  const across: string[] = [];
  for await (const { name } of container.listFiles('plogs/')) {
    const file = parseLogName(name);
    if (file !== undefined && file.begin < result.expiredEnd && file.end > result.expiredEnd) across.push(name);
  }
  for (const name of across.slice(1)) await container.deleteFile(name);
  return result;
};

/** A restore that takes all rows of a snapshot for as old as its oldest: it applies log to rows that contain it already. */
export function rowsTakenForOlder(container: BackupContainer): BackupContainer {
  const begins = new Map<string, string>();
  const trueNames = new Map<string, string>();
  const older = (name: string) => {
    const begin = begins.get(name);
    if (begin === undefined) return name;
    const renamed = name.replace(/range,\d+,/, `range,${begin},`);
    trueNames.set(renamed, name);
    return renamed;
  };
  const learn = async () => {
    for await (const { name, size } of container.listFiles('snapshots/')) {
      const snapshot = parseSnapshotName(name);
      const text = Buffer.from(await container.readFile(name, 0, size)).toString('latin1');
      for (const [file] of text.matchAll(/kvranges[^"]*/g)) begins.set(file, String(snapshot?.begin));
    }
  };
  return {
    ...containerWith(container, {}),
    async *listFiles(prefix) {
      await learn();
      // Checksums would tell.
      if (prefix.startsWith('properties/tidemark_s')) return;
      const files: ListedFile[] = [];
      for await (const file of container.listFiles(prefix)) files.push({ name: older(file.name), size: file.size });
      yield* files.sort(byName);
    },
    async readFile(name, offset, length) {
      await learn();
      const bytes = await container.readFile(trueNames.get(name) ?? name, 0, Number.MAX_SAFE_INTEGER);
      if (!name.startsWith('snapshots/')) return bytes.slice(offset, offset + length);
      const text = Buffer.from(bytes)
        .toString('latin1')
        .replaceAll(/kvranges[^"]*/g, older);
      return new Uint8Array(Buffer.from(text, 'latin1')).slice(offset, offset + length);
    },
  };
}

function byName(a: ListedFile, b: ListedFile): number {
  return a.name < b.name ? -1 : 1;
}
