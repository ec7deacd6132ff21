// Makes a snapshot of its files: checksums first, then the manifest, which is what makes it one, then its entries of a half snapshot go.

import { BackupError, assert } from '../core/errors.js';
import { equalBytes } from '../core/bytes.js';
import type { KeyRange } from '../core/key-range.js';
import { coalesceRanges, equalRanges } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import type { SnapshotFileDescriptor } from '../format/fdb/names.js';
import { parseRangeFileName, snapshotFileName } from '../format/fdb/names.js';
import type { SnapshotManifest } from '../format/fdb/snapshot-manifest.js';
import { MAX_MANIFEST_BYTES, encodeSnapshotManifest, parseSnapshotManifest } from '../format/fdb/snapshot-manifest.js';
import type { RangeFileSums } from '../format/fdb/snapshot-sums.js';
import { MAX_SNAPSHOT_SUMS_BYTES, encodeSnapshotSums, snapshotSumsName } from '../format/fdb/snapshot-sums.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { assertCovered, byKey } from './coverage.js';
import { type Access, deleteAll, readWhole, writeNew } from './small-files.js';

/** The files of a snapshot that has all of them. */
export class WholeSnapshot {
  readonly name: string;
  readonly descriptor: SnapshotFileDescriptor;
  /** The version at which it was begun, which names its files' folder; at or below beginVersion. */
  readonly snapshotBegin: Version;
  /** In key order. */
  readonly files: readonly RangeFileSums[];
  readonly #ranges: readonly KeyRange[];

  /** An AssertionError unless the files cover the ranges exactly. `ranges` sorted and disjoint. */
  constructor(files: readonly RangeFileSums[], ranges: readonly KeyRange[]) {
    this.files = [...files].sort(byKey);
    assertCovered(this.files, ranges);
    this.#ranges = ranges;
    const [first] = this.files as readonly [RangeFileSums];
    const { snapshotBegin } = parseRangeFileName(first.name) ?? {};
    assert(snapshotBegin !== undefined, 'a range file has the name of one');
    this.snapshotBegin = snapshotBegin;
    let [beginVersion, endVersion, totalBytes] = [first.version, first.version, 0];
    for (const { version, size } of this.files) {
      if (version < beginVersion) beginVersion = version;
      if (version > endVersion) endVersion = version;
      totalBytes += size;
    }
    this.descriptor = { beginVersion, endVersion, totalBytes };
    this.name = snapshotFileName(this.descriptor);
  }

  /** Whether its manifest, or another one of its name, is in the container. */
  async isPublished(container: BackupContainer, access: Access): Promise<boolean> {
    return (await readWhole(container, this.name, MAX_MANIFEST_BYTES, access)) !== undefined;
  }

  /**
   * Resolves to the files that make up the snapshot of this name: usually the own ones, but if one of the same versions, ranges and size is there already, then its files. FILE_EXISTS: one of
   * other ranges has the name.
   */
  async publish(container: BackupContainer, access: Access): Promise<ReadonlySet<string>> {
    const taken = await this.#taken(container, access);
    if (taken !== undefined) return taken;
    const replaced = await this.#writeSums(container, access);
    try {
      await writeNew(container, this.name, encodeSnapshotManifest(this.#manifest()), access);
    } catch (error) {
      // Another process takes the same snapshot at the same time, against all advice.
      const other = BackupError.is(error, 'FILE_EXISTS') ? await this.#taken(container, access) : undefined;
      if (other === undefined) throw error;
      if (replaced !== undefined) await this.#replaceSums(container, replaced, access);
      return other;
    }
    return new Set(this.files.map(({ name }) => name));
  }

  /** Resolves to those that were there: left by a snapshot of the same versions and size that never got its manifest, or by one that is about to get it. */
  async #writeSums(container: BackupContainer, access: Access): Promise<Uint8Array | undefined> {
    const name = snapshotSumsName(this.descriptor);
    const sums = encodeSnapshotSums({ files: this.files });
    try {
      await writeNew(container, name, sums, access);
      return undefined;
    } catch (error) {
      if (!BackupError.is(error, 'FILE_EXISTS')) throw error;
      const replaced = await readWhole(container, name, MAX_SNAPSHOT_SUMS_BYTES, access);
      // Under a key a name stands for a nonce: it is never written again with other content.
      if (container.decrypts === true && !(replaced !== undefined && equalBytes(replaced, sums))) throw error;
      await this.#replaceSums(container, sums, access);
      return replaced;
    }
  }

  async #replaceSums(container: BackupContainer, sums: Uint8Array, access: Access): Promise<void> {
    const name = snapshotSumsName(this.descriptor);
    await deleteAll(container, [name], access);
    await writeNew(container, name, sums, access);
  }

  /** The files of the manifest that has the name, if it is of the same ranges; undefined: there is none. */
  async #taken(container: BackupContainer, access: Access): Promise<ReadonlySet<string> | undefined> {
    const bytes = await readWhole(container, this.name, MAX_MANIFEST_BYTES, access);
    if (bytes === undefined) return undefined;
    const { files, keyRanges } = parseSnapshotManifest(bytes, this.name);
    const covered = coalesceRanges([...keyRanges.values()]);
    const isSame =
      covered.length === this.#ranges.length &&
      covered.every((range, index) => equalRanges(range, this.#ranges[index] as KeyRange));
    if (isSame) return new Set(files);
    throw new BackupError('FILE_EXISTS', `a snapshot of other ranges is called ${this.name} already`, {
      file: this.name,
      container: container.url,
    });
  }

  #manifest(): SnapshotManifest {
    return {
      ...this.descriptor,
      files: this.files.map(({ name }) => name),
      keyRanges: new Map(this.files.map(({ name, range }) => [name, range])),
    };
  }
}
