// Where a backup's files are stored: a flat store of named files.

/** A file being written. Invisible to every reader until `finish` has resolved. */
export interface BackupFile {
  readonly name: string;
  /**
   * Adds the chunks in order. One call at a time; the caller may reuse the chunks' memory as soon as it has resolved. An adapter that keeps
   * bytes longer copies them.
   */
  append(chunks: readonly Uint8Array[]): Promise<void>;
  /** Makes the file durable, then visible under its name. Throws FILE_EXISTS for an exclusive write whose name is taken. */
  finish(): Promise<void>;
  /** Discards the file. Safe to call at any moment but after a successful `finish`, and more than once; never throws for a file that is gone. */
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
 * Names are relative paths with `/` between the parts, such as `plogs/0000/0000/log,1,5,…`. A name that is absolute, has an empty part, `.`, `..`, a NUL or a
 * backslash is refused with INVALID_NAME. Temporary failures are BackupErrors with `retryable: true`.
 */
export interface BackupContainer {
  readonly url: string;
  /** Makes the container; fine if it exists already. */
  create(): Promise<void>;
  exists(): Promise<boolean>;
  /** Replaces a file of that name, if there is one, at the moment of `finish`. */
  writeFile(name: string, options?: WriteFileOptions): Promise<BackupFile>;
  /** Up to `length` bytes from `offset`; shorter only at the end of the file, empty beyond it. FILE_NOT_FOUND if there is no such file. */
  readFile(name: string, offset: number, length: number): Promise<Uint8Array>;
  /** Finished files whose name starts with `prefix`, in the byte order of their names. An empty container, or one that was never made, yields nothing. */
  listFiles(prefix: string): AsyncIterable<ListedFile>;
  /** Fine if there is no such file. */
  deleteFile(name: string): Promise<void>;
}
