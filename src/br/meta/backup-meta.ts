// Reads a backup's meta data, in both schemas: `backupmeta` and, in the newer one, the files that its indexes name. A backup may have millions of files: they come one by one, and at most one file of meta data of each level is
// held at a time. Must never pass over a node that is missing, damaged or not the one that was written.

import { createHash } from 'node:crypto';
import { abortable, abortableStream } from '../../core/abort.js';
import { BackupError } from '../../core/errors.js';
import { checkCipher, isEncrypting } from '../../format/br/cipher.js';
import type { BrMessages } from '../../format/br/message-codec.js';
import type {
  BrBackupMeta,
  BrBackupRange,
  BrCipher,
  BrFile,
  BrMetaFile,
  BrRawRange,
  BrSchema,
} from '../../format/br/messages.js';
import {
  BACKUP_META_NAME,
  MAX_META_BYTES,
  checkMetaNode,
  jsonList,
  openBackupMeta,
  openMetaNode,
} from '../../format/br/meta-tree.js';
import { loadBrMessages } from '../../format/br/proto/load.js';
import { tableOfSchema, type TidbTable } from '../../format/br/tidb-schema.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import { readToEnd } from '../../ports/read-to-end.js';

/** What there is many of: read through the methods of BackupMetaReader, wherever the backup keeps it. */
type Lists = 'files' | 'schemas' | 'rawRanges' | 'ranges';
type Indexes = 'fileIndex' | 'schemaIndex' | 'rawRangeIndex' | 'ddlIndexes';

/** `backupmeta` without its lists. */
export type BrBackupMetaHead = Omit<BrBackupMeta, Lists | Indexes | 'ddls'>;

export interface ReadBackupMetaOptions {
  /** With which the backup was encrypted. */
  readonly cipher?: BrCipher | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The whole file, or its first `maxBytes + 1` bytes. For retries, say; default: the container's. */
  readonly read?: ((name: string, maxBytes: number) => Promise<Uint8Array>) | undefined;
  /** The name of `backupmeta`. BR's tools take others, too. */
  readonly name?: string | undefined;
}

const LISTS: readonly Lists[] = ['files', 'schemas', 'rawRanges', 'ranges'];
/** What nodes of an index hold, beside the names of the next ones. */
type Items = Exclude<keyof BrMetaFile, 'metaFiles' | 'unknown'>;

/**
 * FILE_NOT_FOUND without a `backupmeta` (the backup is not finished, or there is none), CORRUPT_FILE, ENCRYPTION_KEY_WRONG for one that the cipher does not make readable, UNSUPPORTED_FORMAT for a schema above 1, PACKAGE_MISSING
 * without `@bufbuild/protobuf`, INVALID_OPTION for a cipher that cannot be.
 */
export async function readBackupMeta(
  container: BackupContainer,
  options: ReadBackupMetaOptions = {},
): Promise<BackupMetaReader> {
  const { cipher, name = BACKUP_META_NAME, signal, read } = options;
  if (cipher !== undefined) checkCipher(cipher);
  const messages = await loadBrMessages();
  const source: Source = {
    messages,
    cipher,
    read: async (file, maxBytes) => {
      const reading = read === undefined ? readToEnd(container, file, maxBytes) : read(file, maxBytes);
      const bytes = await (signal === undefined ? reading : abortable(reading, signal));
      if (bytes.length <= maxBytes) return bytes;
      throw new BackupError('CORRUPT_FILE', `${file} is larger than ${maxBytes} bytes`, { file, offset: maxBytes });
    },
  };
  signal?.throwIfAborted();
  const stored = await source.read(name, MAX_META_BYTES);
  const content = openBackupMeta(stored, cipher, name);
  const meta = decodeHead(messages, content, name, isEncrypting(cipher));
  await checkNothingLost(container, name, meta, signal);
  const sha256 = createHash('sha256').update(stored).digest('hex');
  return new BackupMetaReader(source, name, sha256, meta, content);
}

function decodeHead(messages: BrMessages, content: Uint8Array, file: string, isEncrypted: boolean): BrBackupMeta {
  let meta: BrBackupMeta;
  try {
    meta = messages.decode('BackupMeta', content, { file, without: LISTS });
    // What is cut between two fields can be decoded. Versions come behind the files, and every backup of versions has an end.
    if (meta.endVersion === 0n && !meta.isRawKv) {
      throw new BackupError(
        'CORRUPT_FILE',
        `${file} says neither an end version nor that it is of raw KV: it is empty, or cut`,
        { file, offset: content.length },
      );
    }
  } catch (cause) {
    if (!isEncrypted || !BackupError.is(cause, 'CORRUPT_FILE')) throw withHint(cause, file, isEncrypted);
    const what = `${file} cannot be read with the cipher that was given: another key or method was used, or none, or the file is damaged`;
    throw new BackupError('ENCRYPTION_KEY_WRONG', what, { file, cause });
  }
  if (meta.version === 0 || meta.version === 1) return meta;
  throw new BackupError('UNSUPPORTED_FORMAT', `${file} is of schema ${meta.version}; this release reads 0 and 1`, {
    file,
  });
}

const INDEXES = { datafile: 'fileIndex', schema: 'schemaIndex', ddl: 'ddlIndexes' } as const;

/**
 * `backupmeta` has no checksum: what is cut in front of its indexes reads as a smaller backup. But then the nodes that it named are still there. Of schema 0, which has no nodes, those of an earlier, unfinished run may lie
 * beside it: it is whole where it has a field behind the indexes.
 */
async function checkNothingLost(
  container: BackupContainer,
  file: string,
  meta: BrBackupMeta,
  signal = new AbortController().signal,
): Promise<void> {
  if (file !== BACKUP_META_NAME) return;
  if (meta.version === 0 && meta.backupSize > 0n) return;
  for (const kind of ['datafile', 'schema', 'ddl'] as const) {
    if (meta[INDEXES[kind]] !== undefined) continue;
    for await (const { name } of abortableStream(container.listFiles(`${BACKUP_META_NAME}.${kind}.`), signal)) {
      const what = `${file} names no ${kind} nodes, but ${name} is beside it: it is cut, or that file is what an unfinished backup has left and may be deleted`;
      throw new BackupError('CORRUPT_FILE', what, { file });
    }
  }
}

/** An encrypted file looks like a damaged one. */
function withHint(cause: unknown, file: string, isEncrypted: boolean): unknown {
  if (isEncrypted || !BackupError.is(cause, 'CORRUPT_FILE')) return cause;
  const { offset } = cause;
  const what = `${cause.message} (if the backup is encrypted, its cipher is needed)`;
  return new BackupError('CORRUPT_FILE', what, { file, offset, cause });
}

interface Source {
  readonly messages: BrMessages;
  readonly cipher: BrCipher | undefined;
  readonly read: (name: string, maxBytes: number) => Promise<Uint8Array>;
}

/** One node of an index: its own items, and where the bytes of them are. */
interface Node {
  readonly file: string;
  /** The content of the node's file; undefined for the root, which lies in `backupmeta` and is held as it is. */
  readonly content: Uint8Array | undefined;
  readonly root: BrMetaFile | undefined;
}

/**
 * The meta data of one backup. Each method reads from the beginning, each time: nothing is kept but `backupmeta` itself. They throw what `readBackupMeta` does, CHECKSUM_MISMATCH for a file that is not what its index says, and
 * ENCRYPTION_KEY_MISSING.
 */
export class BackupMetaReader {
  /** The name of the file that was read. */
  readonly name: string;
  /** Hex, of the file as it is stored: tells this backup from others. */
  readonly sha256: string;
  readonly meta: BrBackupMetaHead;
  readonly #source: Source;
  readonly #content: Uint8Array;
  readonly #whole: BrBackupMeta;

  /** Use readBackupMeta. */
  constructor(source: Source, name: string, sha256: string, meta: BrBackupMeta, content: Uint8Array) {
    this.#source = source;
    this.name = name;
    this.sha256 = sha256;
    this.#whole = meta;
    this.#content = content;
    this.meta = headOf(meta);
  }

  /** All files of rows, in the order in which the backup lists them. */
  async *files(): AsyncGenerator<BrFile, void, undefined> {
    yield* this.#source.messages.decodeItems('BackupMeta', this.#content, 'files', { file: this.name });
    yield* this.#items(this.#whole.fileIndex, 'dataFiles');
  }

  /** Tables and databases, undecoded. */
  async *schemas(): AsyncGenerator<BrSchema, void, undefined> {
    yield* this.#source.messages.decodeItems('BackupMeta', this.#content, 'schemas', { file: this.name });
    yield* this.#items(this.#whole.schemaIndex, 'schemas');
  }

  /** What the schemas say of tables and databases. CORRUPT_FILE for one that is no JSON of TiDB's. */
  async *tables(): AsyncGenerator<TidbTable, void, undefined> {
    for await (const schema of this.schemas()) yield tableOfSchema(schema, this.name);
  }

  /** The ranges of a backup of raw KV. */
  async *rawRanges(): AsyncGenerator<BrRawRange, void, undefined> {
    yield* this.#source.messages.decodeItems('BackupMeta', this.#content, 'rawRanges', { file: this.name });
    yield* this.#items(this.#whole.rawRangeIndex, 'rawRanges');
  }

  /** Ranges and their files, of a backup that copied files (mode 'file'). */
  async *ranges(): AsyncGenerator<BrBackupRange, void, undefined> {
    yield* this.#source.messages.decodeItems('BackupMeta', this.#content, 'ranges', { file: this.name });
    yield* this.#items(this.#whole.fileIndex, 'backupRanges');
  }

  /** JSON: the list of DDL jobs of an incremental backup. */
  async ddls(): Promise<Uint8Array> {
    const jobs: Uint8Array[] = [];
    for await (const job of this.#items(this.#whole.ddlIndexes, 'ddls')) jobs.push(job);
    if (jobs.length > 0) return jsonList(jobs);
    return this.#whole.ddls.length > 0 ? this.#whole.ddls : jsonList([]);
  }

  /** The items of one kind below `root`, node by node. */
  async *#items<K extends Items>(
    root: BrMetaFile | undefined,
    kind: K,
  ): AsyncGenerator<BrMetaFile[K][number], void, undefined> {
    if (root === undefined) return;
    const seen = new Set<string>();
    yield* this.#below({ file: this.name, content: undefined, root }, kind, 1, seen);
  }

  async *#below<K extends Items>(
    node: Node,
    kind: K,
    depth: number,
    seen: Set<string>,
  ): AsyncGenerator<BrMetaFile[K][number], void, undefined> {
    yield* this.#ofNode(node, kind);
    for (const child of this.#ofNode(node, 'metaFiles')) {
      checkMetaNode(child, node.file, depth, seen);
      const content = await this.#readNode(child, node.file);
      yield* this.#below({ file: child.name, content, root: undefined }, kind, depth + 1, seen);
    }
  }

  #ofNode<K extends Items | 'metaFiles'>({ file, content, root }: Node, kind: K): Iterable<BrMetaFile[K][number]> {
    if (content === undefined) return root?.[kind] ?? [];
    return this.#source.messages.decodeItems('MetaFile', content, kind, { file });
  }

  async #readNode(node: BrFile, parent: string): Promise<Uint8Array> {
    const { read, cipher } = this.#source;
    // One that does not say how long it is may be as long as any.
    const most = node.size === 0n ? MAX_META_BYTES : Number(node.size);
    let stored: Uint8Array;
    try {
      stored = await read(node.name, most);
    } catch (cause) {
      if (!BackupError.is(cause, 'FILE_NOT_FOUND')) throw cause;
      const what = `${parent} names ${node.name}, which is not there: the backup cannot be read whole`;
      throw new BackupError('FILE_NOT_FOUND', what, { file: node.name, cause });
    }
    return openMetaNode(node, stored, cipher);
  }
}

function headOf(meta: BrBackupMeta): BrBackupMetaHead {
  const { files: _files, schemas: _schemas, rawRanges: _rawRanges, ranges: _ranges, ddls: _ddls, ...rest } = meta;
  const { fileIndex: _0, schemaIndex: _1, rawRangeIndex: _2, ddlIndexes: _3, ...head } = rest;
  return head;
}
