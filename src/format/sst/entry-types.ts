// What an entry of a data block is: the lowest byte behind its user key, RocksDB's ValueType.

/** `blob-index` and `wide-columns` are not a value as it was put: the first names a place in another file, the second holds several columns. */
export type SstEntryType = 'value' | 'deletion' | 'single-deletion' | 'merge' | 'blob-index' | 'wide-columns';

export const DELETION = 0x00;
export const VALUE = 0x01;
export const MERGE = 0x02;
export const SINGLE_DELETION = 0x07;
export const RANGE_DELETION = 0x0f;

/** Behind the user key: 7 bytes sequence number and the type, as one little-endian number. */
export const INTERNAL_BYTES = 8;

/** By type byte; what is missing stands in no data block that is read here. */
export const ENTRY_TYPES: readonly (SstEntryType | undefined)[] = (() => {
  const types = new Array<SstEntryType | undefined>(256).fill(undefined);
  types[DELETION] = 'deletion';
  types[VALUE] = 'value';
  types[MERGE] = 'merge';
  types[SINGLE_DELETION] = 'single-deletion';
  types[0x11] = 'blob-index';
  types[0x16] = 'wide-columns';
  return types;
})();
