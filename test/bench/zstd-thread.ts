// A thread that compresses one block again and again, for what zstd alone gains from a second core. Told how many times, it says when it has done so.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

import { loadCodec } from '../../src/format/sst/codecs/load-codec.js';

/** Blocks between two turns of the event loop, without which Node does not free what the codec returns. */
const PER_TURN = 16;

const codec = await loadCodec('zstd', {});
const block = workerData as Uint8Array;

async function compress(times: number): Promise<void> {
  for (let i = 1; i <= times; i++) {
    codec.compress(block);
    if (i % PER_TURN === 0) await nextTurn();
  }
}

parentPort?.on('message', (times: number) => {
  void compress(times).then(() => parentPort?.postMessage(times));
});
