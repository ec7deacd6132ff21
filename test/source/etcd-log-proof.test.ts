// That a log of etcd goes on under a steady load: what has to be proven is proven in pieces, and a proof that is always one revision behind does not hold everything up.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { logRouterTag } from '../../src/core/version.js';
import type { EtcdLogSource } from '../../src/source/etcd/log-source.js';
import type { FakeEvent } from './etcd-log-fake.js';
import { FakeEtcd } from './etcd-log-fake.js';

const peek = (source: EtcdLogSource, begin: number) =>
  source.peek({
    epoch: 1,
    tag: logRouterTag(0),
    begin: BigInt(begin),
    maxBytes: 1 << 20,
    signal: new AbortController().signal,
  });

const put = (revision: number): FakeEvent => ({ revision, key: `k${revision}`, value: 'v' });

describe('a log of etcd under load', () => {
  it('gives what a proof was begun for, although more has come meanwhile', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const reply = peek(source, 100);
    const watch = await etcd.watch();
    // While a read is under way more comes from etcd's storage, for ever.
    let next = 102;
    etcd.beforeRead = async () => {
      await nextTurn();
      watch.answer([put(next++), put(next++)]);
    };
    watch.answer([put(99), put(100), put(101)]);
    const { end, batch } = await reply;
    expect(Number(end)).toBe(102);
    expect([...batch].length).toBe(2);
  });

  it('asks no more once a proof has reached what came as it was committed', async () => {
    const etcd = new FakeEtcd();
    const source = etcd.open(100);
    const reply = peek(source, 100);
    const watch = await etcd.watch();
    let next = 102;
    etcd.beforeRead = async () => {
      await nextTurn();
      watch.answer([put(next++)]);
    };
    watch.answer([put(99), put(100), put(101)]);
    let { end } = await reply;
    while (end < BigInt(next)) ({ end } = await peek(source, Number(end)));
    const before = etcd.reads.length;
    for (let i = 0; i < 20; i++) {
      const more = peek(source, next);
      watch.answer([put(next++)]);
      await more;
    }
    expect(etcd.reads.length).toBe(before);
  });
});
