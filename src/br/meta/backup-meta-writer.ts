// Writes a backup's meta data, in both schemas. `backupmeta` comes last and only once: until it is there nobody takes the folder for a backup, and one that is there is never replaced.
// Must never write `backupmeta` before all that it names is stored.

import { createHash } from 'node:crypto';
import { checkWholeNumber } from '../../core/check-option.js';
import { systemClock, systemRandom, type Clock, type Random } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import { checkCipher } from '../../format/br/cipher.js';
import type { BrMessages } from '../../format/br/message-codec.js';
import type {
  BrBackupMeta,
  BrCipher,
  BrFile,
  BrInit,
  BrMetaFile,
  BrRawRange,
  BrSchema,
} from '../../format/br/messages.js';
import {
  BACKUP_META_NAME,
  MAX_META_BYTES,
  jsonList,
  metaNodeName,
  sealBackupMeta,
  sealMetaNode,
  type MetaNodeKind,
} from '../../format/br/meta-tree.js';
import { loadBrMessages } from '../../format/br/proto/load.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import { writeNew, type Access } from '../../snapshot/small-files.js';
import type { BrBackupMetaHead } from './backup-meta.js';

export interface BackupMetaWriterOptions {
  readonly container: BackupContainer;
  /** 1 (the default): lists in files of their own. 0: everything in `backupmeta`, and in memory until then; for tools older than BR 5.1. */
  readonly version?: 0 | 1 | undefined;
  /** Encrypts all of it: give the one that the backup's files are encrypted with, as BR does. */
  readonly cipher?: BrCipher | undefined;
  /** Bytes of content after which a file of meta data is full. Default 16 MiB (BR's is 128: it is held in memory). */
  readonly nodeBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Tries in a row for each file, the first included, and ms between them. Default 8, 100 and 10,000. */
  readonly maxAttempts?: number | undefined;
  readonly retryMinDelay?: number | undefined;
  readonly retryMaxDelay?: number | undefined;
  readonly clock?: Clock | undefined;
  /** IVs come from it, too. */
  readonly random?: Random | undefined;
}

/** What the writer cannot know by itself: cluster, versions, kind of backup. `backupSize` is its business, and so is `version`. */
export type BackupMetaFacts = Omit<BrInit<BrBackupMetaHead>, 'backupSize' | 'version'>;

export interface WrittenBackupMeta {
  /** Hex, of `backupmeta` as it is stored. */
  readonly sha256: string;
  /** Bytes of `backupmeta` as it is stored. */
  readonly size: number;
  /** Bytes of everything that the backup consists of, as `backupmeta` says it. */
  readonly backupSize: bigint;
}

const KINDS = ['datafile', 'schema', 'ddl'] as const satisfies readonly MetaNodeKind[];
type Kind = (typeof KINDS)[number];

/** Items that are not stored yet: encoded nodes with one item each, which put one behind another are a node with all of them. */
class Pending {
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  add(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
  }

  take(): Uint8Array {
    const content = new Uint8Array(Buffer.concat(this.#pieces));
    this.#pieces.length = 0;
    this.#bytes = 0;
    return content;
  }
}

/** Of a long list, so that nodes do not become as long. */
const FILES_AT_ONCE = 1024;

/** The next free number is looked for by trying: what an earlier, unfinished run has left is passed over. */
const MAX_NUMBER = 999_999_999;

/** One backup's meta data. One call at a time; after a call that has failed nothing more can be added. */
export class BackupMetaWriter {
  readonly #container: BackupContainer;
  readonly #messages: BrMessages;
  readonly #version: 0 | 1;
  readonly #cipher: BrCipher | undefined;
  readonly #nodeBytes: number;
  readonly #random: Random;
  readonly #access: Access;
  readonly #pending: Readonly<Record<Kind, Pending>> = {
    datafile: new Pending(),
    schema: new Pending(),
    ddl: new Pending(),
  };
  readonly #nodes: Readonly<Record<Kind, BrInit<BrFile>[]>> = { datafile: [], schema: [], ddl: [] };
  /** Of version 0. */
  readonly #files: BrFile[] = [];
  readonly #schemas: BrInit<BrSchema>[] = [];
  readonly #ddls: Uint8Array[] = [];
  readonly #rawRanges: BrInit<BrRawRange>[] = [];
  #number = 0;
  #size = 0n;
  #state: 'open' | 'busy' | 'failed' | 'finished' = 'open';

  /** FILE_EXISTS where there is a backup already; PACKAGE_MISSING without `@bufbuild/protobuf`; INVALID_OPTION. */
  static async open(options: BackupMetaWriterOptions): Promise<BackupMetaWriter> {
    const messages = await loadBrMessages();
    const writer = new BackupMetaWriter(options, messages);
    await checkNoBackup(options.container);
    return writer;
  }

  private constructor(options: BackupMetaWriterOptions, messages: BrMessages) {
    const { container, version = 1, cipher, nodeBytes = 16 << 20, signal } = options;
    const { maxAttempts = 8, retryMinDelay = 100, retryMaxDelay = 10_000 } = options;
    const { clock = systemClock, random = systemRandom } = options;
    if (cipher !== undefined) checkCipher(cipher);
    this.#container = container;
    this.#messages = messages;
    this.#version = checkWholeNumber('version', version, 0, 1) === 0 ? 0 : 1;
    this.#cipher = cipher;
    this.#nodeBytes = checkWholeNumber('nodeBytes', nodeBytes, 1, MAX_META_BYTES >> 1);
    this.#random = random;
    this.#access = {
      signal: signal ?? new AbortController().signal,
      policy: {
        clock,
        random,
        maxAttempts: checkWholeNumber('maxAttempts', maxAttempts, 1),
        retryMinDelay: checkWholeNumber('retryMinDelay', retryMinDelay, 0),
        retryMaxDelay: checkWholeNumber('retryMaxDelay', retryMaxDelay, 0),
      },
    };
  }

  /** Files that are stored. Those of one range (its `default` and `write` files) together, as BR does: they stay in one node. */
  async addFiles(files: readonly BrFile[]): Promise<void> {
    await this.#doing(async () => {
      for (let at = 0; at < files.length; at += FILES_AT_ONCE) {
        const some = files.slice(at, at + FILES_AT_ONCE);
        const encoded = this.#messages.encode('MetaFile', { dataFiles: some });
        for (const { size } of some) this.#size += size;
        if (this.#version === 0) this.#files.push(...some);
        else await this.#add('datafile', encoded);
      }
    });
  }

  async addSchema(schema: BrInit<BrSchema>): Promise<void> {
    await this.#doing(async () => {
      const encoded = this.#messages.encode('MetaFile', { schemas: [schema] });
      for (const { sizeEnc = 0n } of schema.statsIndex ?? []) this.#size += sizeEnc;
      if (this.#version === 0) this.#schemas.push(schema);
      else await this.#add('schema', encoded);
    });
  }

  /** JSON of one DDL job (TiDB's model.Job), in the order in which they were done. */
  async addDdl(job: Uint8Array): Promise<void> {
    await this.#doing(async () => {
      if (this.#version === 0) this.#ddls.push(job);
      else await this.#add('ddl', this.#messages.encode('MetaFile', { ddls: [job] }));
    });
  }

  /** A range of the backup: BR keeps them in `backupmeta` itself, in both schemas. */
  async addRawRange(range: BrInit<BrRawRange>): Promise<void> {
    await this.#doing(() => {
      this.#messages.encode('RawRange', range);
      this.#rawRanges.push(range);
    });
  }

  /**
   * Stores what is pending, then `backupmeta`. FILE_EXISTS when somebody else has finished a backup here in the meantime: theirs stays, and is whole. INVALID_OPTION where `facts` say neither an end version nor that it is raw KV,
   * which no backup of BR's does.
   */
  async finish(facts: BackupMetaFacts): Promise<WrittenBackupMeta> {
    return this.#doing(async () => {
      if ((facts.endVersion ?? 0n) === 0n && facts.isRawKv !== true) {
        throw new BackupError('INVALID_OPTION', 'facts.endVersion must be above 0 for a backup that is not of raw KV');
      }
      for (const kind of KINDS) await this.#flush(kind);
      const meta = this.#meta(facts);
      // As BR counts: everything, and backupmeta without this number.
      const backupSize = this.#size + BigInt(this.#messages.encode('BackupMeta', meta).length);
      const content = this.#messages.encode('BackupMeta', { ...meta, backupSize });
      const stored = sealBackupMeta(content, this.#cipher, this.#random);
      if (stored.length > MAX_META_BYTES) {
        const what = `${BACKUP_META_NAME} would have ${stored.length} bytes, it may have ${MAX_META_BYTES}: use version 1`;
        throw new BackupError('INVALID_OPTION', what, { file: BACKUP_META_NAME });
      }
      await writeNew(this.#container, BACKUP_META_NAME, stored, this.#access);
      this.#state = 'finished';
      return { sha256: createHash('sha256').update(stored).digest('hex'), size: stored.length, backupSize };
    });
  }

  #meta(facts: BackupMetaFacts): BrInit<BrBackupMeta> {
    const common = { ...facts, version: this.#version, rawRanges: this.#rawRanges };
    if (this.#version === 0) {
      return { ...common, files: this.#files, schemas: this.#schemas, ddls: jsonList(this.#ddls) };
    }
    return {
      ...common,
      ddls: jsonList([]),
      fileIndex: this.#index('datafile'),
      schemaIndex: this.#index('schema'),
      ddlIndexes: this.#index('ddl'),
    };
  }

  /** Also of no nodes, as BR: it says that those which an earlier run may have left are none of this backup. */
  #index(kind: Kind): BrInit<BrMetaFile> {
    return { metaFiles: this.#nodes[kind] };
  }

  async #add(kind: Kind, piece: Uint8Array): Promise<void> {
    const pending = this.#pending[kind];
    pending.add(piece);
    if (pending.bytes >= this.#nodeBytes) await this.#flush(kind);
  }

  async #flush(kind: Kind): Promise<void> {
    const pending = this.#pending[kind];
    if (pending.bytes === 0) return;
    const { stored, reference } = sealMetaNode(pending.take(), this.#cipher, this.#random);
    const name = await this.#writeNode(kind, stored);
    this.#nodes[kind].push({ name, ...reference });
    this.#size += BigInt(stored.length);
  }

  async #writeNode(kind: MetaNodeKind, stored: Uint8Array): Promise<string> {
    for (;;) {
      const name = metaNodeName(kind, ++this.#number);
      try {
        await writeNew(this.#container, name, stored, this.#access);
        return name;
      } catch (error) {
        if (!BackupError.is(error, 'FILE_EXISTS') || this.#number >= MAX_NUMBER) throw error;
      }
    }
  }

  async #doing<T>(body: () => Promise<T> | T): Promise<T> {
    if (this.#state !== 'open') {
      const why = { busy: 'another call is under way', failed: 'a call has failed', finished: 'it is finished' };
      throw new BackupError('INVALID_STATE', `nothing can be added to this meta data: ${why[this.#state]}`);
    }
    this.#state = 'busy';
    try {
      this.#access.signal.throwIfAborted();
      const result = await body();
      if (!this.#isFinished()) this.#state = 'open';
      return result;
    } catch (error) {
      this.#state = 'failed';
      throw error;
    }
  }

  #isFinished(): boolean {
    return this.#state === 'finished';
  }
}

/** What BR writes, and reads: its restores of raw rows, and of transactional ones without tables, look for files in `backupmeta` alone, and end well where there are none. */
export function defaultMetaVersion(schemas: readonly unknown[]): 0 | 1 {
  return schemas.length > 0 ? 1 : 0;
}

/** FILE_EXISTS where a container holds a backup. */
export async function checkNoBackup(container: BackupContainer): Promise<void> {
  try {
    await container.readFile(BACKUP_META_NAME, 0, 1);
  } catch (error) {
    if (BackupError.is(error, 'FILE_NOT_FOUND')) return;
    throw error;
  }
  const what = `${container.url} holds a backup already: ${BACKUP_META_NAME} is there`;
  throw new BackupError('FILE_EXISTS', what, { file: BACKUP_META_NAME, container: container.url });
}
