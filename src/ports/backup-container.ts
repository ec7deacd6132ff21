// Where a backup's files are stored: a flat store of named files.

/** A file being written. Invisible to every reader until `finish` has resolved. */
export interface BackupFile {
  readonly name: string;
  /**
   * Adds the chunks in order. One call at a time; the caller may reuse the chunks' memory as soon as it has resolved. An
   * adapter that keeps bytes longer copies them. After an append that failed the file can only be aborted.
   */
  append(chunks: readonly Uint8Array[]): Promise<void>;
  /**
   * Makes the file durable, then visible under its name, whole. Throws FILE_EXISTS for an exclusive write whose name is
   * taken. A file whose `finish` failed is still to be aborted; it may have become visible all the same (whole), when only
   * the answer was lost.
   */
  finish(): Promise<void>;
  /**
   * Discards the file. Safe at any moment and more than once; never throws for a file that is gone. After a `finish` that
   * resolved it does nothing: the finished file stays.
   */
  abort(): Promise<void>;
}

export interface WriteFileOptions {
  /** Fail with FILE_EXISTS instead of replacing a file of that name; atomic between processes. Default false. */
  readonly exclusive?: boolean;
}

export interface ListedFile {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * How long after a file was finished or deleted a listing may still be wrong about it, ms, where the container does not say: what the calls that must be sure of a listing wait, unless they are told otherwise.
 */
export const LISTING_LAG = 10_000;

/**
 * Names are relative paths with `/` between the parts, such as `plogs/0000/0000/log,1,5,…`. A name that is absolute, has an
 * empty part, `.`, `..`, a NUL or a backslash is refused with INVALID_NAME by every call that takes a name; so is one that
 * ends in `.temp` or `.part`, which is what unfinished files are called (`checkFileName` does all of this). Temporary
 * failures are BackupErrors with `retryable: true`. `append` or `finish` on a file that was finished or aborted is
 * INVALID_STATE.
 *
 * Any number of files may be written at once, by any number of processes, several of the same name too: of those the last
 * to finish stays, whole.
 */
export interface BackupContainer {
  /** Names the container: two adapters with the same URL show the same files. It is shown in errors and descriptions: leave credentials out. */
  readonly url: string;
  /**
   * True: what this container gives back is decrypted, although `properties/encryption_metadata` says that the files are encrypted. Set by the wrapper that holds
   * the key; a container that stores files leaves it out.
   */
  readonly decrypts?: boolean;
  /**
   * How long after a file was finished or deleted, by whichever process, a listing may still be wrong about it, ms, finite, >= 0. 0: listings are exact at once, as in memory, on a local file system, and in S3 since December 2020. Calls that
   * must be sure of a listing wait so long, so a container that says too little loses files. Left out: LISTING_LAG.
   */
  readonly listingLag?: number;
  /** Makes the container; fine if it exists already. Called before anything is written. */
  create(): Promise<void>;
  exists(): Promise<boolean>;
  /** Replaces a file of that name, if there is one, at the moment of `finish`. */
  writeFile(name: string, options?: WriteFileOptions): Promise<BackupFile>;
  /**
   * Up to `length` bytes from `offset`; shorter only at the end of the file, empty beyond it. FILE_NOT_FOUND if there is no
   * such file. The memory belongs to the caller.
   */
  readFile(name: string, offset: number, length: number): Promise<Uint8Array>;
  /**
   * Finished files whose name starts with `prefix`, in the byte order of their (UTF-8) names. `prefix` is a mere string:
   * `logs/a` finds `logs/a/1` and `logs/ab`. An empty container, or one that was never made, yields nothing. A file that is
   * finished or deleted while the listing runs may be in it or not. Names that end in `/`, which object stores keep as markers
   * for folders, are passed over.
   *
   * A listing may lag behind, by `listingLag` at most: a file that was finished within that time may be missing from it, and one
   * that was deleted within it may still be in it, each file by itself. What is listed has the size that it has or had. Everything else is exact at once and for every process: `readFile` finds a finished file and no deleted one,
   * an exclusive write fails for a name that is taken, `exists` is true as soon as `create` has resolved.
   */
  listFiles(prefix: string): AsyncIterable<ListedFile>;
  /** Fine if there is no such file. */
  deleteFile(name: string): Promise<void>;
}
