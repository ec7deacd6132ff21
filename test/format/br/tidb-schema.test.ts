import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/core/bytes.js';
import { loadBrMessages } from '../../../src/format/br/proto/load.js';
import { parseTidbDatabase, parseTidbTable, tableOfSchema } from '../../../src/format/br/tidb-schema.js';

const corrupt = expect.objectContaining({ code: 'CORRUPT_FILE', file: 'backupmeta' }) as Error;

/** As TiDB writes it, shortened: `CREATE TABLE test.t (id BIGINT PRIMARY KEY, "name" VARCHAR(20), UNIQUE KEY by_name (name)) PARTITION BY …`. */
const TABLE = `{"id":9007199254740993,"name":{"O":"T1","L":"t1"},"charset":"utf8mb4","collate":"utf8mb4_bin",
  "cols":[
    {"id":1,"name":{"O":"id","L":"id"},"offset":0,"origin_default":null,"default":null,"type":{"Tp":8,"Flag":4099,"Flen":20,"Decimal":0},"state":5,"comment":"says \\"id\\": 5, \\\\"},
    {"id":2,"name":{"O":"Name","L":"name"},"offset":1,"default":"1e5","type":{"Tp":15,"Flag":4,"Flen":20},"state":5}],
  "index_info":[{"id":1,"idx_name":{"O":"by_name","L":"by_name"},"tbl_name":{"O":"","L":""},"idx_cols":[{"name":{"O":"Name","L":"name"},"offset":1,"length":-1}],"is_unique":true,"is_primary":false}],
  "constraint_info":null,"fk_info":null,"state":5,"pk_is_handle":true,"max_col_id":2,"update_timestamp":436711705384845313,"ShardRowIDBits":0,
  "partition":{"type":1,"expr":"id","columns":null,"enable":true,"definitions":[
    {"id":9223372036854775807,"name":{"O":"p0","L":"p0"},"less_than":["100"]},{"id":-9223372036854775808,"name":{"O":"P1","L":"p1"},"less_than":["MAXVALUE"]}],"num":2}}`;

describe("TiDB's schemas", () => {
  it('are read with ids that a number of JSON would round', () => {
    expect(parseTidbTable(utf8(TABLE))).toEqual({
      id: 9007199254740993n,
      name: 'T1',
      columns: [
        { id: 1n, name: 'id', offset: 0n },
        { id: 2n, name: 'Name', offset: 1n },
      ],
      indexes: [{ id: 1n, name: 'by_name', columns: ['Name'], isUnique: true, isPrimary: false }],
      partitions: [
        { id: (1n << 63n) - 1n, name: 'p0' },
        { id: -(1n << 63n), name: 'P1' },
      ],
    });
    expect(parseTidbDatabase(utf8('{"id":1,"db_name":{"O":"test","L":"test"},"charset":"utf8mb4","state":5}'))).toEqual(
      {
        id: 1n,
        name: 'test',
      },
    );
  });

  it('may leave out lists, or have null for them, and have plain names as older versions wrote them', () => {
    const empty = { columns: [], indexes: [], partitions: [] };
    expect(parseTidbTable(utf8('{"id":-5,"name":"old","cols":null,"partition":null}'))).toEqual({
      id: -5n,
      name: 'old',
      ...empty,
    });
    expect(parseTidbTable(utf8('{"id":0,"name":{"O":""}}'))).toEqual({ id: 0n, name: '', ...empty });
  });

  it('take names and comments with anything in them', () => {
    for (const name of [
      '"',
      '\\',
      '\\"id\\":7',
      '{"id":7}',
      '\u0000',
      '\u{1F40B}',
      'n5',
      's',
      '5',
      '-5e3',
      '\\u0031',
      '',
    ]) {
      const json = JSON.stringify({ comment: name, name: { O: name, L: name }, id: 42, [name]: 1 });
      expect(parseTidbTable(utf8(json))).toMatchObject({ id: 42n, name });
    }
    // A megabyte is no comment of TiDB's, but it is JSON.
    const long = 'x"\\'.repeat(1_000_000);
    expect(parseTidbTable(utf8(JSON.stringify({ comment: long, id: 1, name: 'a' }))).id).toBe(1n);
  });

  it.each([
    ['nothing', ''],
    ['half an object', '{"id":1'],
    ['bytes that are not UTF-8', Uint8Array.of(0x22, 0xff, 0x22)],
    ['a list', '[]'],
    ['null', 'null'],
    ['a number', '5'],
    ['no id', '{"name":"a"}'],
    ['an id in a string', '{"id":"5","name":"a"}'],
    ['an id that looks marked', '{"id":"n5","name":"a"}'],
    ['a fraction', '{"id":5.5,"name":"a"}'],
    ['an exponent', '{"id":1e3,"name":"a"}'],
    ['an id above 2^63 - 1', '{"id":9223372036854775808,"name":"a"}'],
    ['an id of a hundred digits', `{"id":${'9'.repeat(100)},"name":"a"}`],
    ['a number that is none', '{"id":01,"name":"a"}'],
    ['no name', '{"id":1}'],
    ['a number as name', '{"id":1,"name":5}'],
    ['a name without its original', '{"id":1,"name":{"L":"a"}}'],
    ['columns that are no list', '{"id":1,"name":"a","cols":{}}'],
    ['a column that is no object', '{"id":1,"name":"a","cols":[5]}'],
    ['a partition without an id', '{"id":1,"name":"a","partition":{"definitions":[{"name":"p"}]}}'],
    [
      'an index that says unique with a number',
      '{"id":1,"name":"a","index_info":[{"id":1,"idx_name":"i","is_unique":1}]}',
    ],
    ['members of the prototype', '{"__proto__":{"id":1,"name":"a"}}'],
    ['a million brackets', '['.repeat(1_000_000)],
  ])('refuse %s', (_what, json) => {
    const bytes = typeof json === 'string' ? utf8(json) : json;
    expect(() => parseTidbTable(bytes, 'backupmeta')).toThrow(corrupt);
  });

  it('of a backup say what they count, and a database stands by itself where it has no tables', async () => {
    const messages = await loadBrMessages();
    const db = utf8('{"id":1,"db_name":{"O":"test","L":"test"}}');
    const schema = (init: { table?: Uint8Array; totalKvs?: bigint }) =>
      messages.decode('Schema', messages.encode('Schema', { db, ...init }));
    expect(tableOfSchema(schema({}))).toEqual({
      database: { id: 1n, name: 'test' },
      table: undefined,
      crc64xor: 0n,
      totalKvs: 0n,
      totalBytes: 0n,
    });
    expect(tableOfSchema(schema({ table: utf8(TABLE), totalKvs: 3n }))).toMatchObject({
      table: { id: 9007199254740993n },
      totalKvs: 3n,
    });
  });
});
