// backup.ts: your own database, backed up as TiKV would be. A full backup on Sundays, an incremental one every other day.

import { openContainer } from 'tidemark';
import { BlockPool, takeBrBackup, type BrCipher, type TxnRangeSource } from 'tidemark/br';

export interface Backup {
  readonly url: string;
  /** What a restore of it gives, and where the next incremental one begins. */
  readonly endTs: bigint;
}

/** `after`: the backup before it in the chain; without one it is a full one. `url`: a place for this backup alone. */
export async function backUp(
  source: TxnRangeSource,
  url: string,
  options: {
    readonly after?: Backup;
    readonly cipher?: BrCipher;
    readonly numThreads?: number;
    readonly signal?: AbortSignal;
  } = {},
): Promise<Backup> {
  const { after, cipher, numThreads = 2, signal } = options;
  await using threads = await BlockPool.open({ numThreads });
  const { endTs } = await takeBrBackup({
    kind: 'txn',
    source,
    ranges: [], // all
    startTs: after?.endTs ?? 0n,
    container: await openContainer(url),
    compression: 'zstd',
    cipher,
    threads,
    rateLimit: 100_000_000, // bytes per second
    signal,
  });
  return { url, endTs };
}
