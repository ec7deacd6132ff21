// A range file on its way from a scan worker to the save workers: encoded groups in order, then its end.

import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import type { EncodedGroup } from '../format/fdb/log-file-encoder.js';

/** What is known of a file once its last row has been added. */
export interface FileEnd {
  readonly range: KeyRange;
  readonly rows: number;
  readonly rowBytes: number;
  /** 16 hex digits */
  readonly crc64xor: string;
}

/** One scan worker adds to it, and one save worker at a time takes from it. */
export class FileStream {
  readonly version: Version;
  /** Of the file's blocks, bytes. */
  readonly blockSize: number;
  /** Where the file cannot be saved: what follows is discarded, and its whole range is asked for again. */
  failure: { readonly error: unknown } | undefined;
  #groups: EncodedGroup[] = [];
  #end: FileEnd | undefined;
  /** Listed for the save workers, or in the hands of one. */
  #taken = false;

  constructor(version: Version, blockSize: number) {
    this.version = version;
    this.blockSize = blockSize;
  }

  /** Set once every group has been taken. */
  get end(): FileEnd | undefined {
    return this.#groups.length === 0 ? this.#end : undefined;
  }

  /** The scan worker's side: both return whether the stream is now to be listed for the save workers. */
  addGroup(group: EncodedGroup): boolean {
    this.#groups.push(group);
    return this.#list();
  }

  close(end: FileEnd): boolean {
    this.#end = end;
    return this.#list();
  }

  /** The save worker's side. */
  takeGroups(): readonly EncodedGroup[] {
    const groups = this.#groups;
    this.#groups = [];
    return groups;
  }

  /** The save worker is done with what it took and returns whether there is more already. */
  putBack(): boolean {
    this.#taken = false;
    return this.#groups.length > 0 && this.#list();
  }

  #list(): boolean {
    if (this.#taken) return false;
    this.#taken = true;
    return true;
  }
}
