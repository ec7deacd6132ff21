// A store that holds what no client of it wrote: every reader says so, with the key, and nothing goes on as if it were not there.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { BackupOperator } from '../../src/job/operator.js';
import { World } from '../worker/world.js';

const UID = 'ab'.repeat(16);

describe('a store that somebody else has written to', () => {
  let world: World;
  let operator: BackupOperator;
  beforeEach(async () => {
    world = new World();
    operator = new BackupOperator(world.store, { clock: world.clock });
    await world.announce();
    void world.request('job', {}, operator);
    await world.clock.settle();
  });
  afterEach(() => world.end());

  const put = (key: string, value: string) =>
    world.store.transact(async (tx) => {
      tx.set(key, utf8(value));
    });

  it.each([
    ['a value that is no JSON', 'job/job', '{'],
    ['a value that is no object', 'job/job', '5'],
    ['nothing at all', 'job/job', 'null'],
    ['a state that there is not', 'job/job', '{"uid":"job","submission":"x","state":"Paused"}'],
    ['a registration without an epoch', 'registered/job/x/0', '"1"'],
    ['a registration of too large an epoch', `registered/job/${'9'.repeat(16)}/0`, '"1"'],
    ['progress without a tag', 'progress/1', '{}'],
  ])('%s is STORE_CORRUPT for who asks for the job', async (_, key, value) => {
    await put(key, value);
    await expect(operator.status('job')).rejects.toMatchObject({ code: 'STORE_CORRUPT', retryable: false });
  });

  it('a job that is started and has no record is STORE_CORRUPT for its workers, and names it', async () => {
    await put('started', JSON.stringify({ jobs: [{ uid: UID, startVersion: '1' }] }));
    await expect(world.start(0).result).rejects.toMatchObject({ code: 'STORE_CORRUPT', jobUid: UID });
  });
});
