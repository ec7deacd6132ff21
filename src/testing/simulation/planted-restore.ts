// Deliberate mistakes of a restore: each wraps the container that it reads, or the target that it fills.

import { BackupError } from '../../core/errors.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import type { RestoreCheckpoint, RestoreShard, RestoreTarget } from '../../ports/restore-target.js';
import { containerWith } from './planted-wrappers.js';
import { layRecords, rawRecords } from './planted-records.js';
import type { NamedLogFile } from './read-log-file.js';
import { parseLogName } from './read-log-file.js';

/** A checkpoint is stored with the apply after its own: who goes on from it applies something twice. */
export function checkpointOneLate(target: RestoreTarget): RestoreTarget {
  return {
    ...lateShard(target),
    isEmpty: (range) => target.isEmpty(range),
    ...(target.shard === undefined ? {} : { shard: (name: string) => lateShard(target.shard?.(name) ?? target) }),
  };
}

function lateShard(shard: RestoreShard): RestoreShard {
  let previous: RestoreCheckpoint | undefined;
  return {
    read: (keys) => shard.read(keys),
    apply: (operations, checkpoint) => {
      const isSame = previous?.restoreId === checkpoint.restoreId && previous.phase === checkpoint.phase;
      const late = isSame && previous !== undefined ? previous : checkpoint;
      previous = checkpoint;
      return shard.apply(operations, late);
    },
    checkpoint: () => shard.checkpoint(),
  };
}

/** What two files of a tag both hold is applied from both. */
export function overlapsAppliedTwice(container: BackupContainer): BackupContainer {
  const logs: { readonly name: string; readonly log: NamedLogFile }[] = [];
  const learn = async () => {
    if (logs.length > 0) return;
    for await (const { name } of container.listFiles('plogs/')) {
      const log = parseLogName(name);
      if (log !== undefined) logs.push({ name, log });
    }
  };
  const doubled = async (name: string): Promise<Uint8Array> => {
    const bytes = await container.readFile(name, 0, Number.MAX_SAFE_INTEGER);
    const own = logs.find((file) => file.name === name)?.log;
    if (own === undefined) return bytes;
    const others = logs.filter(
      ({ name: other, log }) => other !== name && log.tag === own.tag && log.totalTags === own.totalTags,
    );
    const isShared = (version: bigint) => others.some(({ log }) => log.begin <= version && version < log.end);
    const records = rawRecords(bytes, own.blockSize);
    return layRecords(
      records.flatMap((record) => (isShared(record.version) ? [record, record] : [record])),
      own.blockSize,
    );
  };
  return {
    ...containerWith(container, {}),
    async *listFiles(prefix) {
      await learn();
      // Checksums would tell.
      if (prefix.startsWith('properties/tidemark_s')) return;
      for await (const { name, size } of container.listFiles(prefix))
        yield { name, size: name.startsWith('plogs/') ? (await doubled(name)).length : size };
    },
    async readFile(name, offset, length) {
      await learn();
      if (name.startsWith('properties/tidemark_s'))
        throw new BackupError('FILE_NOT_FOUND', `${name} is hidden`, { file: name });
      return name.startsWith('plogs/')
        ? (await doubled(name)).slice(offset, offset + length)
        : container.readFile(name, offset, length);
    },
  };
}
