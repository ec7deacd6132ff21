// Whether backups follow each other: what a chain of them can answer, and exactly which of them it needs for that. Pure.

import { BackupError } from '../../core/errors.js';
import type { BrCipher, BrFile, BrRawRange } from '../../format/br/messages.js';
import type { RawApiVersion } from '../../format/br/raw-kv.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import type { BrBackupMetaHead } from '../meta/backup-meta.js';
import type { BrTableOfBackup } from './tables.js';

/** A backup of the chain, with everything that its meta data says. */
export interface LoadedLink {
  /** Its place in the chain. */
  readonly index: number;
  readonly container: BackupContainer;
  readonly cipher: BrCipher | undefined;
  readonly meta: BrBackupMetaHead;
  readonly files: readonly BrFile[];
  readonly tables: readonly BrTableOfBackup[];
  readonly rawRanges: readonly BrRawRange[];
  /** Of an incremental backup: that something was done to schemas in its time. */
  readonly hasDdls: boolean;
}

/** What the used part of a chain is. */
export interface BrChain {
  /** Those up to the wanted version, the full one first. */
  readonly links: readonly LoadedLink[];
  readonly kind: 'txn' | 'raw';
  readonly apiVersion: RawApiVersion;
  /** 0 for a raw backup. */
  readonly version: bigint;
}

/** A full backup says 0, or the same timestamp twice (as BR: IsIncremental). */
export function isFullBackup({
  startVersion,
  endVersion,
}: Pick<BrBackupMetaHead, 'startVersion' | 'endVersion'>): boolean {
  return startVersion === 0n || startVersion === endVersion;
}

/** NOT_RESTORABLE, with the link that does not fit; UNSUPPORTED_FORMAT for a kind of backup that this release does not read; INVALID_OPTION for a version of a raw backup. */
export function resolveChain(links: readonly LoadedLink[], version: bigint | undefined): BrChain {
  for (const link of links) checkSupported(link);
  const first = links[0] as LoadedLink;
  for (const link of links) checkSame(first, link);
  const apiVersion = first.meta.apiVersion as RawApiVersion;
  if (first.meta.isRawKv) return rawChain(links, version, apiVersion);
  if (!isFullBackup(first.meta)) {
    const { startVersion, endVersion } = first.meta;
    throw notRestorable(
      first,
      `is an incremental backup of (${startVersion}, ${endVersion}]; the first one must be a full backup`,
    );
  }
  for (let i = 1; i < links.length; i++) checkFollows(links[i - 1] as LoadedLink, links[i] as LoadedLink);
  const used = links.slice(0, linksUpTo(links, version));
  return { links: used, kind: 'txn', apiVersion, version: (used.at(-1) as LoadedLink).meta.endVersion };
}

/** One backup by itself, full or incremental. UNSUPPORTED_FORMAT for a kind of backup that this release does not read. */
export function resolveLink(link: LoadedLink): BrChain {
  checkSupported(link);
  const { isRawKv, apiVersion, endVersion } = link.meta;
  const version = isRawKv ? 0n : endVersion;
  return { links: [link], kind: isRawKv ? 'raw' : 'txn', apiVersion: apiVersion as RawApiVersion, version };
}

function rawChain(links: readonly LoadedLink[], version: bigint | undefined, apiVersion: RawApiVersion): BrChain {
  if (links.length > 1) {
    throw notRestorable(
      links[1] as LoadedLink,
      'is a second raw backup; raw backups say nothing of what was deleted since, so that one cannot be put on another',
    );
  }
  if (version === undefined || version === 0n) return { links, kind: 'raw', apiVersion, version: 0n };
  throw new BackupError('INVALID_OPTION', `version must be left out for a raw backup, which has none, got ${version}`, {
    version,
  });
}

function checkSupported(link: LoadedLink): void {
  const { mode, apiVersion, isRawKv } = link.meta;
  const cannot = (what: string): BackupError =>
    new BackupError('UNSUPPORTED_FORMAT', `${nameOf(link)} ${what}`, { container: link.container.url });
  if (mode !== 'scan')
    throw cannot(`is of the mode "${mode}" (files of the store, copied as they are), which is not read`);
  if (apiVersion !== 'v1' && apiVersion !== 'v1ttl' && apiVersion !== 'v2')
    throw cannot(`is of API version ${apiVersion}, which is not known`);
  if (!isRawKv) return;
  const families = [...new Set(link.files.map(({ cf }) => cf))];
  if (families.length > 1)
    throw cannot(`is raw and has files of several column families (${families.join(', ')}), which share their keys`);
}

function checkSame(first: LoadedLink, link: LoadedLink): void {
  const [a, b] = [first.meta, link.meta];
  const kind = (meta: BrBackupMetaHead) => (meta.isRawKv ? 'raw' : 'transactional');
  if (a.clusterId !== b.clusterId)
    throw notRestorable(link, `is of cluster ${b.clusterId}, and chain[0] is of cluster ${a.clusterId}`);
  if (a.isRawKv !== b.isRawKv) throw notRestorable(link, `is ${kind(b)}, and chain[0] is ${kind(a)}`);
  if (a.apiVersion !== b.apiVersion)
    throw notRestorable(link, `is of API version ${b.apiVersion}, and chain[0] is of ${a.apiVersion}`);
}

function checkFollows(before: LoadedLink, link: LoadedLink): void {
  const { startVersion, endVersion } = link.meta;
  if (isFullBackup(link.meta)) {
    throw notRestorable(
      link,
      `is a full backup (as of ${endVersion}); only the first one may be, begin the chain with it`,
    );
  }
  if (startVersion > endVersion)
    throw notRestorable(link, `says that it begins at ${startVersion} and ends before that, at ${endVersion}`);
  const end = before.meta.endVersion;
  if (startVersion === end) return;
  const why =
    startVersion > end
      ? 'what was committed in between is in none of them'
      : 'it is not the one that was taken after it';
  throw notRestorable(link, `begins at ${startVersion}, and chain[${before.index}] ends at ${end}: ${why}`);
}

/** How many of the links make up the state at that version. */
function linksUpTo(links: readonly LoadedLink[], version: bigint | undefined): number {
  if (version === undefined) return links.length;
  const ends = links.map(({ meta }) => meta.endVersion);
  const place = ends.indexOf(version);
  if (place >= 0) return place + 1;
  const last = ends.at(-1) as bigint;
  const why =
    version > last
      ? 'what was committed after the last of them is in no backup'
      : 'a backup holds of each key only the newest state as of its end, not what it was before that';
  throw new BackupError(
    'NOT_RESTORABLE',
    `the chain cannot be restored to ${version}: it answers at ${ends.join(', ')} alone, since ${why}`,
    { version },
  );
}

function nameOf({ index, container }: LoadedLink): string {
  return `chain[${index}] (${container.url})`;
}

function notRestorable(link: LoadedLink, what: string): BackupError {
  return new BackupError('NOT_RESTORABLE', `${nameOf(link)} ${what}`, { container: link.container.url });
}
