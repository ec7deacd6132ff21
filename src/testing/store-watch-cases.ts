// The progress store suite's cases for watches.

import assert from 'node:assert/strict';
import { utf8 } from '../core/bytes.js';
import type { ProgressStore } from '../ports/progress-store.js';
import type { StoreCase } from './store-tools.js';
import { increment, read, write } from './store-tools.js';

export const storeWatchCases: readonly StoreCase[] = [
  [
    'a watch resolves at once when the value is another already',
    async (client) => {
      const store = await client();
      const { signal } = new AbortController();
      await write(await client(), { a: '1' });
      await store.watch('a', undefined, signal);
      await store.watch('a', utf8('0'), signal);
      await store.watch('none', utf8('0'), signal);
    },
  ],
  [
    "a watch resolves when any client sets, changes or clears the key, its own client's changes too",
    async (client) => {
      const { signal } = new AbortController();
      const watcher = await client();
      for (const writer of [watcher, await client()]) {
        for (const [before, after] of [
          [undefined, 'set'],
          ['set', 'changed'],
          ['changed', ''],
          ['', undefined],
        ]) {
          const seen = before === undefined ? undefined : utf8(before);
          const watching = watcher.watch('a', seen, signal);
          await write(writer, { a: after, other: 'x' });
          await watching;
        }
      }
    },
  ],
  [
    'a change between the read and the watch is not missed',
    async (client) => {
      const [watcher, writer] = [await client(), await client()];
      const { signal } = new AbortController();
      const last = 15;
      const follow = async () => {
        for (;;) {
          const seen = await watcher.transact((tx) => tx.get('n'));
          if (seen !== undefined && Number(new TextDecoder().decode(seen)) === last) return;
          await watcher.watch('n', seen, signal);
        }
      };
      const following = [follow(), follow()];
      for (let i = 0; i < last; i++) await increment(writer, 'n');
      await Promise.all(following);
    },
  ],
  [
    'all who watch a key are told',
    async (client) => {
      const stores = [await client(), await client()];
      const { signal } = new AbortController();
      const watching = stores.flatMap((store) => ['a', 'a', 'b'].map((key) => store.watch(key, undefined, signal)));
      await write(await client(), { a: '1', b: '2' });
      await Promise.all(watching);
    },
  ],
  [
    'a watch rejects with the reason of its signal, before it begins or while it waits',
    async (client) => {
      const store = await client();
      const reason = new Error('enough');
      await rejectsWithReason(store.watch('a', undefined, AbortSignal.abort(reason)), reason);
      const stop = new AbortController();
      const soon = store.watch('a', undefined, stop.signal);
      stop.abort(reason);
      await rejectsWithReason(soon, reason);

      const other = new AbortController();
      const one = new AbortController();
      const kept = store.watch('a', undefined, other.signal);
      const waiting = store.watch('a', undefined, one.signal);
      await read(store, 'a');
      one.abort(reason);
      await rejectsWithReason(waiting, reason);
      await write(store, { a: '1' });
      await kept;
    },
  ],
  [
    'a watch may be started and aborted very often',
    async (client) => {
      const store = await client();
      await manyAborted(store, 200);
      const last = store.watch('a', undefined, new AbortController().signal);
      await write(await client(), { a: '1' });
      await last;
    },
  ],
];

async function manyAborted(store: ProgressStore, count: number): Promise<void> {
  const reason = new Error('enough');
  const watches = Array.from({ length: count }, () => {
    const stop = new AbortController();
    return { stop, ended: rejectsWithReason(store.watch('a', undefined, stop.signal), reason) };
  });
  for (const { stop } of watches) stop.abort(reason);
  await Promise.all(watches.map((watch) => watch.ended));
}

async function rejectsWithReason(promise: Promise<void>, reason: Error): Promise<void> {
  await assert.rejects(promise, (error) => error === reason);
}
