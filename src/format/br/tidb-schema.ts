// What TiDB's JSON of a database or table says (model.DBInfo, model.TableInfo): ids and names, columns, indexes, partitions. The rest of it is left alone.
//
// Ids are int64; JSON.parse would round those above 2^53: json-numbers.ts.

import { BackupError } from '../../core/errors.js';
import { parseExactJson, type ExactJson } from './json-numbers.js';
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

class Reader {
  readonly #what: string;
  readonly #file: string | undefined;
  #mark = '';

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
    let parsed: ExactJson;
    try {
      parsed = parseExactJson(new TextDecoder('utf-8', { fatal: true }).decode(json));
    } catch {
      // What was thrown shows what stands there, at any length.
      return this.refuse('is not JSON');
    }
    this.#mark = parsed.mark;
    return this.objectOf(parsed.value, 'it');
  }

  /** An int64; undefined for anything else. */
  idOf(value: unknown): bigint | undefined {
    if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined;
    const text = typeof value === 'string' && value.startsWith(this.#mark) ? value.slice(this.#mark.length) : '';
    const number = /^-?\d{1,19}$/.test(text) ? BigInt(text) : undefined;
    return number !== undefined && BigInt.asIntN(64, number) === number ? number : undefined;
  }

  isText(value: unknown): value is string {
    return typeof value === 'string' && !value.startsWith(this.#mark);
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
    return Object.hasOwn(this.#value, name) ? Reflect.get(this.#value, name) : undefined;
  }

  /** An int64. */
  id(name: string): bigint {
    const id = this.#reader.idOf(this.#member(name));
    if (id !== undefined) return id;
    return this.#reader.refuse(`is not TiDB's: ${name} should be a whole number of 64 bits`);
  }

  /** TiDB writes names as they were given and in lower case ({"O", "L"}); older versions, and other fields, as a string. */
  name(name: string): string {
    const value = this.#member(name);
    if (this.#reader.isText(value)) return value;
    const original = this.#reader.objectOf(value, name).#member('O');
    if (this.#reader.isText(original)) return original;
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
