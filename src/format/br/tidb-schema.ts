// What TiDB's JSON of a database or table says (model.DBInfo, model.TableInfo): ids and names, columns, indexes, partitions. The rest of it is left alone.
//
// Ids are int64; JSON.parse would round those above 2^53. So the numbers of the text are first made strings, by a scan that knows where a string begins and ends; both get a letter in front that says which they were.

import { BackupError } from '../../core/errors.js';
import type { BrSchema } from './messages.js';

export interface TidbDatabase {
  readonly id: bigint;
  readonly name: string;
}

export interface TidbColumn {
  readonly id: bigint;
  readonly name: string;
  /** From 0 on, in the order of the table. */
  readonly offset: bigint;
}

export interface TidbIndex {
  readonly id: bigint;
  readonly name: string;
  /** Names, in the order of the index. */
  readonly columns: readonly string[];
  readonly isUnique: boolean;
  readonly isPrimary: boolean;
}

/** Has rows of its own, under its id instead of the table's. */
export interface TidbPartition {
  readonly id: bigint;
  readonly name: string;
}

export interface TidbTableInfo {
  readonly id: bigint;
  readonly name: string;
  readonly columns: readonly TidbColumn[];
  readonly indexes: readonly TidbIndex[];
  /** Empty for a table without partitions. */
  readonly partitions: readonly TidbPartition[];
}

/** A schema of a backup, read. */
export interface TidbTable {
  readonly database: TidbDatabase;
  /** undefined: a database without tables. */
  readonly table: TidbTableInfo | undefined;
  /** Of all its rows; all three are 0 where nobody computed them. */
  readonly crc64xor: bigint;
  readonly totalKvs: bigint;
  readonly totalBytes: bigint;
}

/** CORRUPT_FILE, naming `file`, for a schema whose JSON is not TiDB's. */
export function tableOfSchema(schema: BrSchema, file?: string): TidbTable {
  const { db, table, crc64xor, totalKvs, totalBytes } = schema;
  return {
    database: parseTidbDatabase(db, file),
    table: table.length === 0 ? undefined : parseTidbTable(table, file),
    crc64xor,
    totalKvs,
    totalBytes,
  };
}

export function parseTidbDatabase(json: Uint8Array, file?: string): TidbDatabase {
  const db = new Reader('a database', file).parse(json);
  return { id: db.id('id'), name: db.name('db_name') };
}

export function parseTidbTable(json: Uint8Array, file?: string): TidbTableInfo {
  const table = new Reader('a table', file).parse(json);
  return {
    id: table.id('id'),
    name: table.name('name'),
    columns: table
      .list('cols')
      .map((column) => ({ id: column.id('id'), name: column.name('name'), offset: column.id('offset') })),
    indexes: table.list('index_info').map((index) => ({
      id: index.id('id'),
      name: index.name('idx_name'),
      columns: index.list('idx_cols').map((column) => column.name('name')),
      isUnique: index.flag('is_unique'),
      isPrimary: index.flag('is_primary'),
    })),
    partitions: partitionsOf(table),
  };
}

/** All that are defined, whether or not TiDB uses them (`enable`): BR takes their rows, too. */
function partitionsOf(table: JsonObject): TidbPartition[] {
  const partition = table.object('partition');
  if (partition === undefined) return [];
  return partition.list('definitions').map((one) => ({ id: one.id('id'), name: one.name('name') }));
}

const STRING = 's';
const NUMBER = 'n';

/** Of text that is JSON: a string, or in the first group a number. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|(-?\d[\d.eE+-]*)/g;
const WHOLE_NUMBER = /^n(-?\d{1,19})$/;

class Reader {
  readonly #what: string;
  readonly #file: string | undefined;

  constructor(what: string, file: string | undefined) {
    this.#what = what;
    this.#file = file;
  }

  refuse(why: string): never {
    const where = this.#file === undefined ? '' : `${this.#file}: `;
    const what = `${where}the schema of ${this.#what} ${why}`;
    throw new BackupError('CORRUPT_FILE', what, { file: this.#file });
  }

  parse(json: Uint8Array): JsonObject {
    let value: unknown;
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(json);
      // First, so that the scan meets nothing but JSON.
      JSON.parse(text);
      const lettered = (token: string, number: string | undefined) =>
        number === undefined ? `"${STRING}${token.slice(1)}` : `"${NUMBER}${number}"`;
      value = JSON.parse(text.replace(TOKENS, lettered));
    } catch {
      // What was thrown shows what stands there, at any length.
      return this.refuse('is not JSON');
    }
    return this.objectOf(value, 'it');
  }

  objectOf(value: unknown, where: string): JsonObject {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return new JsonObject(this, value);
    return this.refuse(`is not TiDB's: ${where} should be an object`);
  }
}

class JsonObject {
  readonly #reader: Reader;
  readonly #value: object;

  constructor(reader: Reader, value: object) {
    this.#reader = reader;
    this.#value = value;
  }

  #member(name: string): unknown {
    const key = STRING + name;
    return Object.hasOwn(this.#value, key) ? Reflect.get(this.#value, key) : undefined;
  }

  /** An int64. */
  id(name: string): bigint {
    const value = this.#member(name);
    const digits = typeof value === 'string' ? WHOLE_NUMBER.exec(value)?.[1] : undefined;
    const number = digits === undefined ? undefined : BigInt(digits);
    if (number !== undefined && BigInt.asIntN(64, number) === number) return number;
    return this.#reader.refuse(`is not TiDB's: ${name} should be a whole number of 64 bits`);
  }

  /** TiDB writes names as they were given and in lower case ({"O", "L"}); older versions, and other fields, as a string. */
  name(name: string): string {
    const value = this.#member(name);
    const original = typeof value === 'string' ? value : this.#reader.objectOf(value, name).#member('O');
    if (typeof original === 'string' && original.startsWith(STRING)) return original.slice(STRING.length);
    return this.#reader.refuse(`is not TiDB's: ${name} should be a name`);
  }

  /** Absent, or not said: false. */
  flag(name: string): boolean {
    const value = this.#member(name) ?? false;
    return typeof value === 'boolean' ? value : this.#reader.refuse(`is not TiDB's: ${name} should be true or false`);
  }

  /** Of objects. Absent, or null as Go writes an empty one: none. */
  list(name: string): JsonObject[] {
    const value: unknown = this.#member(name) ?? [];
    if (!Array.isArray(value)) return this.#reader.refuse(`is not TiDB's: ${name} should be a list`);
    return value.map((item: unknown) => this.#reader.objectOf(item, `each of ${name}`));
  }

  /** Absent, or null: undefined. */
  object(name: string): JsonObject | undefined {
    const value = this.#member(name) ?? undefined;
    return value === undefined ? undefined : this.#reader.objectOf(value, name);
  }
}
