// Reads the meta data of the backups of a chain. All of it is held: of each file some hundred bytes.

import type { Clock } from '../../core/clock.js';
import type { BrFile, BrRawRange } from '../../format/br/messages.js';
import { checkedContainer } from '../../ports/checked-container.js';
import { readToEnd } from '../../ports/read-to-end.js';
import { PatientReads } from '../../restore/patient-reads.js';
import { readBackupMeta } from '../meta/backup-meta.js';
import type { LoadedLink } from './chain.js';
import type { BrChainLink } from './options.js';
import type { BrTableOfBackup } from './tables.js';

/** JSON that is longer says something. */
const MAX_EMPTY_LIST = 16;

export interface LoadLinksOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
}

/** As readBackupMeta. */
export async function loadLinks(
  chain: readonly BrChainLink[],
  options: LoadLinksOptions,
): Promise<readonly LoadedLink[]> {
  const links: LoadedLink[] = [];
  for (const [index, link] of chain.entries()) links.push(await loadLink(index, link, options));
  return links;
}

/** One by itself. */
export async function loadLink(
  index: number,
  link: BrChainLink,
  { clock, signal }: LoadLinksOptions,
): Promise<LoadedLink> {
  const { cipher } = link;
  const container = checkedContainer(link.container, clock);
  const reads = new PatientReads({ clock, signal });
  const reader = await readBackupMeta(container, {
    cipher,
    signal,
    read: (name, maxBytes) => reads.run(() => readToEnd(container, name, maxBytes)),
  });
  const files: BrFile[] = [];
  for await (const file of reader.files()) files.push(file);
  const rawRanges: BrRawRange[] = [];
  for await (const range of reader.rawRanges()) rawRanges.push(range);
  const tables: BrTableOfBackup[] = [];
  for await (const { database, table, crc64xor, totalKvs, totalBytes } of reader.tables()) {
    if (table === undefined) continue;
    const { name, id, partitions } = table;
    const partitionIds = partitions.map((partition) => partition.id);
    tables.push({ database: database.name, name, id, partitionIds, crc64xor, totalKvs, totalBytes });
  }
  const hasDdls = isListWithItems(await reader.ddls());
  return { index, container, cipher, meta: reader.meta, files, tables, rawRanges, hasDdls };
}

/** Of the JSON of a list, which Go writes as `null` where there is none. */
function isListWithItems(json: Uint8Array): boolean {
  return json.length > MAX_EMPTY_LIST || !/^\s*(null|\[\s*\])?\s*$/.test(new TextDecoder().decode(json));
}
