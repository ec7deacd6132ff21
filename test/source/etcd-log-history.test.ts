// That a log of etcd looks again whether the cluster is still the one that was backed up, whenever its watch has broken; and that none of its calls is waited for without end. With an etcd that obeys the test.

import { describe, expect, it } from 'vitest';
import { logRouterTag } from '../../src/core/version.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import type { EtcdLogSource } from '../../src/source/etcd/log-source.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import type { FakeEvent } from './etcd-log-fake.js';
import { FakeEtcd } from './etcd-log-fake.js';

const tag = logRouterTag(0);
const peek = (source: EtcdLogSource, begin: number) =>
  source.peek({ epoch: 1, tag, begin: BigInt(begin), maxBytes: 1 << 20, signal: new AbortController().signal });

const put = (revision: number, key = `k${revision}`): FakeEvent => ({ revision, key, value: 'v' });

/** A log that has version 100 in files, with a mark of it in the store. */
async function backedUp(clock?: ManualClock) {
  const etcd = new FakeEtcd();
  const store = new MemoryProgressStore(clock === undefined ? {} : { clock });
  const source = etcd.open(100, { store, clock });
  const first = peek(source, 100);
  const watch = await etcd.watch();
  watch.answer([put(99), put(100)]);
  await first;
  await source.pop({ epoch: 1, tag, upTo: 100n });
  return { etcd, store, source, watch };
}

describe('the history of a log of etcd', () => {
  it('is compared again after a watch has broken, also where that had brought what was not proven yet', async () => {
    const { etcd, source, watch } = await backedUp();
    // A proof that does not come to its end in time.
    let goOn = () => {};
    const late = new Promise<void>((resolve) => (goOn = resolve));
    etcd.beforeRead = () => late;
    const broken = expect(peek(source, 101)).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE' });
    await new Promise(setImmediate);
    watch.answer([put(101), put(102)]);
    watch.emit('error', new Error('14 UNAVAILABLE: gone'));
    await broken;
    // Restored from an older state, and as far as before by now.
    etcd.beforeRead = () => Promise.resolve();
    goOn();
    const reply = peek(source, 101).then(
      () => 'given',
      (error: unknown) => error,
    );
    (await etcd.watch()).answer([put(100, 'other'), put(101, 'other'), put(102, 'other')]);
    expect(await reply).toMatchObject({ code: 'LOG_INCONSISTENT', retryable: false });
  });

  it('is not waited for where it is gone', async () => {
    const { etcd, store } = await backedUp();
    etcd.compacted = 100;
    const reply = peek(etcd.open(100, { store }), 101);
    (await etcd.watch()).answer([put(101)]);
    expect((await reply).end).toBe(102n);
  });

  it('is not waited for longer than a call may take', async () => {
    const clock = new ManualClock();
    const { etcd, store } = await backedUp(clock);
    const reply = expect(peek(etcd.open(100, { store, clock }), 101)).rejects.toMatchObject({
      code: 'ETCD_UNAVAILABLE',
      retryable: true,
    });
    // A member without a leader: it takes the watch and says nothing.
    await etcd.watch();
    await clock.advance(10_000);
    await reply;
  });
});

describe('a pop that compacts', () => {
  it('fails when etcd does not answer, and is tried again', async () => {
    const clock = new ManualClock();
    const etcd = new FakeEtcd();
    etcd.client.kv.compact = () => new Promise(() => undefined);
    const source = etcd.open(100, {
      clock,
      store: new MemoryProgressStore({ clock }),
      compact: { retention: 0, interval: 0 },
    });
    await source.committedVersion(new AbortController().signal);
    const popped = expect(source.pop({ epoch: 1, tag, upTo: 90n })).rejects.toMatchObject({
      code: 'ETCD_UNAVAILABLE',
      retryable: true,
    });
    await clock.advance(10_000);
    await popped;
  });
});
