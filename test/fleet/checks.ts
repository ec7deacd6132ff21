// What must hold of a fleet's backup, whatever happened to its hosts: nobody recorded what it might not, nothing is missing, nothing is wrong, nothing was discarded that is not stored.

import type { Etcd3 } from 'etcd3';
import { AbortScope } from '../../src/core/abort.js';
import { BackupError } from '../../src/core/errors.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { watchRevisions } from '../../src/etcd/watch-stream.js';
import type { BackupContainer, ListedFile } from '../../src/ports/backup-container.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { differenceOf, type Rows } from './database-writer.js';
import type { FleetHost } from './fleet-host.js';
import type { Ledger } from './ledger.js';
import type { Sample } from './samples.js';

const EVERYTHING = Buffer.from([0]);
const READS_AT_ONCE = 8;

/** What hosts say that they have recorded and popped is what the store has: in their name, and before. */
export function falseReports(ledger: Ledger, hosts: readonly FleetHost[]): string[] {
  const problems: string[] = [];
  for (const { name, messages } of hosts) {
    for (const message of messages) {
      if (message.kind === 'saved' || message.kind === 'noop') {
        const { kind, tag, version } = message;
        const isTrue = ledger.saves.some(
          (save) => save.host === name && save.kind === kind && save.tag === tag && save.version === BigInt(version),
        );
        if (!isTrue)
          problems.push(`host ${name} says that it has ${kind} ${version} of tag ${tag}, the store does not`);
      } else if (message.kind === 'popped') {
        const { tag, version } = message;
        const lastClaim = ledger.claims.findLast((claim) => claim.host === name && claim.tag === tag);
        const mayPop = ledger.saves.some(
          (save) =>
            save.tag === tag &&
            save.version >= BigInt(version) &&
            (save.host === name || save.revision < (lastClaim?.revision ?? 0)),
        );
        if (!mayPop) problems.push(`host ${name} has popped ${version} of tag ${tag}, which it has not saved`);
      }
    }
  }
  return problems;
}

/** The largest revision whose history is gone; 0: none is. */
export async function compactedRevision(database: Etcd3): Promise<bigint> {
  using scope = new AbortScope();
  const request = { key: EVERYTHING, rangeEnd: EVERYTHING, startRevision: 1n };
  try {
    await watchRevisions(database, request, { signal: scope.signal }).next();
    return 0n;
  } catch (error) {
    if (BackupError.is(error, 'ETCD_COMPACTED')) return error.version ?? 0n;
    throw error;
  }
}

/** Read once, so that many restores need not fetch the same files again. */
export async function copyContainer(container: BackupContainer): Promise<MemoryContainer> {
  const copy = new MemoryContainer();
  await copy.create();
  const listed: ListedFile[] = [];
  for await (const file of container.listFiles('')) listed.push(file);
  const lane = async () => {
    for (let next = listed.pop(); next !== undefined; next = listed.pop()) {
      const file = await copy.writeFile(next.name);
      await file.append([await container.readFile(next.name, 0, next.size)]);
      await file.finish();
    }
  };
  await Promise.all(Array.from({ length: READS_AT_ONCE }, lane));
  return copy;
}

/** undefined: the restored rows are those that etcd had. */
export async function restoreAndCompare(
  container: BackupContainer,
  { revision, moment, rows }: Sample,
): Promise<string | undefined> {
  const target = new MemoryRestoreTarget();
  await restore({ container, target, version: BigInt(revision) });
  const restored: Rows = new Map(
    [...target.rows()].map(({ key, value }) => [
      Buffer.from(key).toString('latin1'),
      Buffer.from(value).toString('latin1'),
    ]),
  );
  const difference = differenceOf(restored, rows);
  return difference && `revision ${revision}, ${moment}: ${difference}`;
}
