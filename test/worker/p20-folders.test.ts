// Rule P20 of docs/protocol.md: files at a folder's boundary, and records that are longer than a block.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FOLDER_VERSIONS } from '../../src/format/fdb/names.js';
import { describeBackup } from '../../src/restore/describe.js';
import { World, set } from './world.js';

describe('P20 folders and long records', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.announce();
  });
  afterEach(() => world.end());

  async function logNames(): Promise<string[]> {
    const names: string[] = [];
    for await (const { name } of world.container('memory:job').listFiles('plogs/'))
      names.push(name.replace(/[0-9a-f]{32}/, 'uid'));
    return names;
  }

  it('a jump over a folder’s boundary makes two files in one round, split at the boundary', async () => {
    const { clock, log } = world;
    const { worker } = world.start(0);
    await world.submit('job', { logOnly: true });
    world.put(0, 'before');
    log.commit([{ tag: 0, mutation: set('last') }], { version: FOLDER_VERSIONS - 1n });
    log.commit([{ tag: 0, mutation: set('first') }], { version: FOLDER_VERSIONS });
    log.advance(FOLDER_VERSIONS + 5n);
    await clock.advance(11_000);
    expect(worker.metrics()).toMatchObject({ rounds: 1, filesWritten: 2 });
    expect(await logNames()).toEqual([
      'plogs/0000/0000/log,1,100000000000,uid,0-of-1,1048576',
      'plogs/0000/0001/log,100000000000,100000000006,uid,0-of-1,1048576',
    ]);
    expect(await world.mutations('job')).toEqual([
      '0/1/1/before=v',
      '0/99999999999/1/last=v',
      '0/100000000000/1/first=v',
    ]);
    expect(world.record('progress/1/0')).toMatchObject({ jobs: [{ uid: 'job', files: 2, nextBegin: '100000000006' }] });
  });

  it('a jump over many folders still makes two files, the second in the folder where it ends', async () => {
    const { clock, log } = world;
    const { worker } = world.start(0);
    await world.submit('job', { logOnly: true });
    world.put(0, 'before');
    log.commit([{ tag: 0, mutation: set('middle') }], { version: 7n * FOLDER_VERSIONS + 3n });
    log.commit([{ tag: 0, mutation: set('after') }], { version: 23n * FOLDER_VERSIONS + 4n });
    await clock.advance(11_000);
    expect(worker.metrics()).toMatchObject({ rounds: 1, filesWritten: 2 });
    expect(await logNames()).toEqual([
      'plogs/0000/0000/log,1,2300000000000,uid,0-of-1,1048576',
      'plogs/0000/0023/log,2300000000000,2300000000005,uid,0-of-1,1048576',
    ]);
    const description = await describeBackup(world.container('memory:job'), { deep: true });
    expect(description).toMatchObject({ gaps: [], maxRestorable: 23n * FOLDER_VERSIONS + 4n });
  });

  it('a file that ends right at a boundary is one file', async () => {
    const { clock, log } = world;
    const { worker } = world.start(0);
    await world.submit('job');
    log.advance(FOLDER_VERSIONS - 1n);
    await clock.advance(11_000);
    expect(worker.metrics()).toMatchObject({ filesWritten: 1 });
    world.put(0, 'a');
    await clock.advance(11_000);
    expect(await world.stretches('job')).toEqual(['0:[1, 100000000000)', '0:[100000000000, 100000000001)']);
  });

  it('a jump over a million empty versions within a folder is one file', async () => {
    const { clock, log } = world;
    world.start(0);
    await world.submit('job');
    world.put(0, 'a');
    log.commit([{ tag: 0, mutation: set('b') }], { version: 1_000_001n });
    await clock.advance(11_000);
    expect(await world.stretches('job')).toEqual(['0:[1, 1000002)']);
  });

  it('a record longer than a block makes this file’s block size larger, raises an event, and stops nobody', async () => {
    const { clock } = world;
    const running = world.start(0, { blockSize: 256 });
    await world.submit('job');
    world.put(0, 'small');
    await clock.advance(11_000);
    const large = 'x'.repeat(5_000);
    world.put(0, 'small', `large=${large}`, 'small');
    await clock.advance(11_000);
    world.put(0, 'small');
    await clock.advance(11_000);
    const sizes = (await world.files('job')).map(({ blockSize }) => blockSize);
    expect(sizes[0]).toBe(256);
    expect(sizes[1]).toBeGreaterThan(5_000);
    expect(sizes[2]).toBe(256);
    expect(running.outcome()).toBeUndefined();
    // 16 bytes of header, 9 of the mutation's own, key and value.
    expect(running.events).toContain(`largeRecord job ${16 + 9 + 5 + 5_000} ${sizes[1]}`);
    expect(running.events.filter((event) => event.startsWith('largeRecord'))).toHaveLength(1);
    const values = (await world.mutations('job')).map((mutation) => mutation.split('=')[1]);
    expect(values).toEqual(['v', 'v', large, 'v', 'v']);
    const description = await describeBackup(world.container('memory:job'), { deep: true });
    expect(description).toMatchObject({ gaps: [], problems: [] });
  });

  it('only the job whose range holds the record gets the larger blocks', async () => {
    const { clock } = world;
    world.start(0, { blockSize: 256 });
    await world.submit('job', { ranges: [{ begin: Buffer.from('a'), end: Buffer.from('m') }] });
    await world.submit('other', { ranges: [{ begin: Buffer.from('m'), end: Buffer.from('z') }] });
    world.put(0, 'b', `x=${'x'.repeat(5_000)}`);
    await clock.advance(11_000);
    expect((await world.files('job')).map(({ blockSize }) => blockSize)).toEqual([256]);
    expect((await world.files('other'))[0]?.blockSize).toBeGreaterThan(5_000);
  });
});
