// Any container, encrypted as FoundationDB encrypts its own: AES-256-GCM in blocks, nonces made from the files' names. The public subpath `tidemark/container/encrypted`; nothing else
// imports it, so that only who encrypts needs the package that it needs.

import type { KeyObject } from 'node:crypto';
import type { Clock, Random } from '../core/clock.js';
import { systemClock, systemRandom } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { LOG_FOLDER, RANGE_FOLDER, SNAPSHOT_FOLDER, UNPARTITIONED_LOG_FOLDER } from '../format/fdb/names.js';
import type { EncryptionMetadata } from '../format/fdb/properties.js';
import {
  KEY_CHECK_NAME,
  MAX_PROPERTY_BYTES,
  PROPERTY,
  encodeEncryptionMetadata,
  parseEncryptionMetadata,
} from '../format/fdb/properties.js';
import type { BackupContainer, BackupFile, ListedFile, WriteFileOptions } from '../ports/backup-container.js';
import { checkReadRange } from './check-read-range.js';
import { BlockCipher, plaintextSize, storedBlockSize } from './encrypted-blocks.js';
import { EncryptedFile } from './encrypted-file.js';
import type { EncryptionKeyOptions } from './encrypted-key.js';
import { MAX_KEY_CHECK_BYTES, encodeKeyCheck, loadKey, matchesKeyCheck } from './encrypted-key.js';
import { checkEncryptedName, isEncryptedName, nonceSalt } from './encrypted-names.js';
import type { Xxh3 } from './encrypted-xxh3.js';
import { loadXxh3 } from './encrypted-xxh3.js';
import { checkFileName } from '../core/file-name.js';

export type { EncryptionKeyOptions } from './encrypted-key.js';

export interface EncryptedContainerOptions extends EncryptionKeyOptions {
  /** Plaintext bytes of a block, for a container that is made anew; one that exists says itself what it has. 512 to 2^24, default 65,536. */
  readonly blockSize?: number;
  readonly clock?: Clock;
  readonly random?: Random;
}

const DEFAULT_BLOCK_SIZE = 65_536;
const MIN_BLOCK_SIZE = 512;
const MAX_BLOCK_SIZE = 1 << 24;
/** Whoever made the container may have had reasons; but a number in a file is not to ask for any amount of memory. */
const MAX_FOREIGN_BLOCK_SIZE = 1 << 30;
const DATA_FOLDERS = [SNAPSHOT_FOLDER, RANGE_FOLDER, LOG_FOLDER, UNPARTITIONED_LOG_FOLDER];
/** Files of each folder whose first block is tried before a key is called wrong. */
const TRIED_PER_FOLDER = 3;
/** Decrypted at a stretch before the host gets a turn. */
const SLICE_BYTES = 1 << 20;

/** Whether the container's files are encrypted. False also if there is no container. CORRUPT_FILE when what it says about itself is damaged. */
export async function isEncrypted(container: BackupContainer): Promise<boolean> {
  return (await readMetadata(container))?.enabled ?? false;
}

/**
 * The container to read and write: as it is if it is not encrypted, else decrypted with the key. Throws ENCRYPTION_KEY_MISSING if it is encrypted and neither `key` nor `keyFile` is given; otherwise as
 * `openEncryptedContainer`. Does not encrypt a container that is not encrypted yet.
 */
export async function openContainer(
  container: BackupContainer,
  options: EncryptedContainerOptions = {},
): Promise<BackupContainer> {
  if (!(await isEncrypted(container))) return container;
  if (options.key === undefined && options.keyFile === undefined) {
    throw new BackupError('ENCRYPTION_KEY_MISSING', `${container.url} is encrypted: it needs key or keyFile`, {
      container: container.url,
    });
  }
  return openEncryptedContainer(container, options);
}

/**
 * A view of `inner` whose files are encrypted there and plain here: what is written is encrypted, what is read is decrypted, and sizes are those of the plaintext. A container that holds nothing yet is made
 * an encrypted one by `create()`.
 *
 * Differs from the port in what nonces demand, which come from names: an encrypted file is never replaced (FILE_EXISTS, whatever `exclusive` says), and its base name has no dot (INVALID_NAME). What
 * has been changed in the container is DECRYPTION_FAILED, with the file and the plaintext offset of its block.
 *
 * Throws ENCRYPTION_KEY_MISSING without a key; ENCRYPTION_KEY_WRONG if the key opens nothing in the container; INVALID_STATE if `inner` is not encrypted and not empty; INVALID_OPTION; PACKAGE_MISSING if hash-wasm
 * is not installed; CORRUPT_FILE; what `inner` throws.
 */
export async function openEncryptedContainer(
  inner: BackupContainer,
  options: EncryptedContainerOptions,
): Promise<BackupContainer> {
  const blockSize = checkBlockSize(options.blockSize ?? DEFAULT_BLOCK_SIZE);
  const [key, xxh3] = await Promise.all([loadKey(options), loadXxh3()]);
  const { clock = systemClock, random = systemRandom } = options;
  const container = new EncryptedContainer(inner, { key, xxh3, blockSize, clock, random });
  await container.open();
  return container;
}

interface Parts {
  readonly key: KeyObject;
  readonly xxh3: Xxh3;
  /** Of a container that is made anew. */
  readonly blockSize: number;
  readonly clock: Clock;
  readonly random: Random;
}

class EncryptedContainer implements BackupContainer {
  readonly decrypts = true;
  readonly listingLag?: number;
  readonly #inner: BackupContainer;
  readonly #parts: Parts;
  #blockSize: number;
  /** The container says that it is encrypted, and the key is its own. */
  #isReady = false;

  constructor(inner: BackupContainer, parts: Parts) {
    if (inner.listingLag !== undefined) this.listingLag = inner.listingLag;
    this.#inner = inner;
    this.#parts = parts;
    this.#blockSize = parts.blockSize;
  }

  get url(): string {
    return this.#inner.url;
  }

  async open(): Promise<void> {
    const metadata = await readMetadata(this.#inner);
    if (metadata !== undefined) await this.#adopt(metadata);
    else if ((await firstFiles(this.#inner, 1)).length > 0) throw this.#notEncrypted();
  }

  /** Makes the container an encrypted one before it can hold anything. Of several who do so at once, the first decides on the block size, and all others must have the same key. */
  async create(): Promise<void> {
    await this.#inner.create();
    if (this.#isReady) return;
    await this.open();
    if (this.#isReady) return;
    const { key, random, blockSize } = this.#parts;
    await writeUnlessThere(this.#inner, KEY_CHECK_NAME, encodeKeyCheck(key, random.uid()));
    await writeUnlessThere(
      this.#inner,
      PROPERTY.encryptionMetadata,
      encodeEncryptionMetadata({ enabled: true, blockSize }),
    );
    const metadata = await readMetadata(this.#inner);
    if (metadata === undefined) {
      throw new BackupError('ADAPTER_CONTRACT', `${this.url} does not give back what was written to it`, {
        file: PROPERTY.encryptionMetadata,
        container: this.url,
      });
    }
    await this.#adopt(metadata);
  }

  exists(): Promise<boolean> {
    return this.#inner.exists();
  }

  async writeFile(name: string, options: WriteFileOptions = {}): Promise<BackupFile> {
    checkFileName(name);
    // Whoever makes a container writes that it is not encrypted, as the format wants it; this one knows better.
    if (name === PROPERTY.encryptionMetadata) return new DiscardedFile(name);
    if (!isEncryptedName(name)) return this.#inner.writeFile(name, options);
    checkEncryptedName(name);
    if (!this.#isReady) await this.create();
    if (await fileExists(this.#inner, name)) {
      throw new BackupError(
        'FILE_EXISTS',
        `${name} exists already in ${this.url}, and encrypted files are never replaced`,
        {
          file: name,
          container: this.url,
        },
      );
    }
    const file = await this.#inner.writeFile(name, { exclusive: true });
    return new EncryptedFile(file, this.#cipherOf(name), this.#blockSize, this.#parts.clock);
  }

  async readFile(name: string, offset: number, length: number): Promise<Uint8Array> {
    checkFileName(name);
    if (!isEncryptedName(name)) return this.#inner.readFile(name, offset, length);
    checkReadRange(name, offset, length);
    await this.#lookAgain();
    return this.#readEncrypted(name, offset, length);
  }

  async #readEncrypted(name: string, offset: number, length: number): Promise<Uint8Array> {
    if (length === 0) return this.#inner.readFile(name, 0, 0);
    const stored = storedBlockSize(this.#blockSize);
    const first = Math.floor(offset / this.#blockSize);
    const blocks = Math.floor((offset + length - 1) / this.#blockSize) - first + 1;
    if (first * stored > Number.MAX_SAFE_INTEGER) return this.#inner.readFile(name, 0, 0);
    const bytes = await this.#inner.readFile(name, first * stored, Math.min(blocks * stored, Number.MAX_SAFE_INTEGER));
    const plaintext = await this.#decrypt(name, first, bytes);
    const begin = offset - first * this.#blockSize;
    return plaintext.subarray(begin, begin + length);
  }

  async *listFiles(prefix: string): AsyncIterable<ListedFile> {
    await this.#lookAgain();
    for await (const { name, size } of this.#inner.listFiles(prefix)) {
      yield { name, size: isEncryptedName(name) ? plaintextSize(size, this.#blockSize) : size };
    }
  }

  deleteFile(name: string): Promise<void> {
    return this.#inner.deleteFile(name);
  }

  /** `bytes`: stored blocks from number `first` on, all of them whole unless the file ends. */
  async #decrypt(name: string, first: number, bytes: Uint8Array): Promise<Uint8Array> {
    const stored = storedBlockSize(this.#blockSize);
    const cipher = this.#cipherOf(name);
    const plaintext = new Uint8Array(plaintextSize(bytes.length, this.#blockSize));
    let slice = 0;
    for (let at = 0, index = first; at < bytes.length; at += stored, index++) {
      const block = cipher.decrypt(index, bytes.subarray(at, at + stored));
      plaintext.set(block, (index - first) * this.#blockSize);
      slice += stored;
      if (slice < SLICE_BYTES) continue;
      slice = 0;
      await this.#parts.clock.yieldToHost();
    }
    return plaintext;
  }

  #cipherOf(name: string): BlockCipher {
    const { key, xxh3 } = this.#parts;
    return new BlockCipher(key, name, this.#blockSize, xxh3(nonceSalt(name)));
  }

  /** A container that was empty when it was opened may have been made by another process since, with another block size. */
  async #lookAgain(): Promise<void> {
    if (this.#isReady) return;
    const metadata = await readMetadata(this.#inner);
    if (metadata !== undefined) await this.#adopt(metadata);
  }

  async #adopt({ enabled, blockSize }: EncryptionMetadata): Promise<void> {
    if (!enabled) throw this.#notEncrypted();
    this.#blockSize = blockSize;
    await this.#checkKey();
    this.#isReady = true;
  }

  async #checkKey(): Promise<void> {
    const check = await readIfThere(this.#inner, KEY_CHECK_NAME, MAX_KEY_CHECK_BYTES);
    const matches = check === undefined ? undefined : matchesKeyCheck(this.#parts.key, check);
    if (matches === true) return;
    const files = await firstFiles(this.#inner, TRIED_PER_FOLDER);
    for (const name of files) if (await this.#opens(name)) return;
    // Where there is nothing to try, nothing is wrong yet.
    if (matches === undefined && files.length === 0) return;
    const tried = matches === undefined ? files : [KEY_CHECK_NAME, ...files];
    throw new BackupError('ENCRYPTION_KEY_WRONG', `the key opens nothing in ${this.url}: tried ${tried.join('; ')}`, {
      container: this.url,
    });
  }

  async #opens(name: string): Promise<boolean> {
    try {
      await this.#readEncrypted(name, 0, 1);
      return true;
    } catch (error) {
      // A file that has been deleted since it was listed proves nothing either.
      if (BackupError.is(error, 'DECRYPTION_FAILED') || BackupError.is(error, 'FILE_NOT_FOUND')) return false;
      throw error;
    }
  }

  #notEncrypted(): BackupError {
    return new BackupError(
      'INVALID_STATE',
      `${this.url} is not encrypted: open it without a key, or take a new container`,
      {
        container: this.url,
      },
    );
  }
}

/** Takes what is written and forgets it. */
class DiscardedFile implements BackupFile {
  readonly name: string;
  #isOpen = true;

  constructor(name: string) {
    this.name = name;
  }

  append(): Promise<void> {
    return this.#checkOpen('append');
  }

  async finish(): Promise<void> {
    await this.#checkOpen('finish');
    this.#isOpen = false;
  }

  async abort(): Promise<void> {
    this.#isOpen = false;
  }

  async #checkOpen(call: string): Promise<void> {
    if (this.#isOpen) return;
    throw new BackupError('INVALID_STATE', `${call}() on ${this.name}, which has ended already`, { file: this.name });
  }
}

/** undefined: the container does not say, as one that was never made or that an older FoundationDB wrote. */
async function readMetadata(container: BackupContainer): Promise<EncryptionMetadata | undefined> {
  const bytes = await readIfThere(container, PROPERTY.encryptionMetadata, MAX_PROPERTY_BYTES);
  if (bytes === undefined) return undefined;
  const metadata = parseEncryptionMetadata(bytes);
  if (metadata.blockSize > MAX_FOREIGN_BLOCK_SIZE) {
    throw new BackupError(
      'UNSUPPORTED_FORMAT',
      `${container.url} has encrypted blocks of ${metadata.blockSize} bytes`,
      {
        file: PROPERTY.encryptionMetadata,
        container: container.url,
      },
    );
  }
  return metadata;
}

async function readIfThere(container: BackupContainer, name: string, limit: number): Promise<Uint8Array | undefined> {
  try {
    return await container.readFile(name, 0, limit);
  } catch (error) {
    if (BackupError.is(error, 'FILE_NOT_FOUND')) return undefined;
    throw error;
  }
}

async function fileExists(container: BackupContainer, name: string): Promise<boolean> {
  return (await readIfThere(container, name, 0)) !== undefined;
}

/** Names of the first files that are not empty, so many of each folder of data. */
async function firstFiles(container: BackupContainer, perFolder: number): Promise<string[]> {
  const found: string[] = [];
  for (const folder of DATA_FOLDERS) {
    let left = perFolder;
    for await (const { name, size } of container.listFiles(folder)) {
      if (size === 0) continue;
      found.push(name);
      if (--left === 0) break;
    }
  }
  return found;
}

async function writeUnlessThere(container: BackupContainer, name: string, bytes: Uint8Array): Promise<void> {
  if (await fileExists(container, name)) return;
  const file = await container.writeFile(name, { exclusive: true });
  try {
    await file.append([bytes]);
    await file.finish();
  } catch (error) {
    await file.abort();
    // Another one was faster: what it wrote is looked at in its turn.
    if (!BackupError.is(error, 'FILE_EXISTS')) throw error;
  }
}

function checkBlockSize(blockSize: number): number {
  if (Number.isSafeInteger(blockSize) && blockSize >= MIN_BLOCK_SIZE && blockSize <= MAX_BLOCK_SIZE) return blockSize;
  throw new BackupError(
    'INVALID_OPTION',
    `blockSize must be a whole number from ${MIN_BLOCK_SIZE} to ${MAX_BLOCK_SIZE}, got ${String(blockSize)}`,
  );
}
