// What runs on a thread: raw blocks in, stored blocks out. Loaded by piscina, by its file name; nothing else imports it, and it never keeps state between two requests but the codecs that it has loaded.

import { move, transferableSymbol, valueSymbol } from 'piscina';

import { systemClock } from '../../core/clock.js';
import type { BlockPress } from '../../format/sst/block-press.js';
import type { SstCompression } from '../../format/sst/codec.js';
import { loadCodec } from '../../format/sst/codecs/load-codec.js';
import { inlinePress } from '../../format/sst/inline-press.js';
import { loadCrc32c } from '../../format/sst/native-crc32c.js';
import { buffersOf, describeFailure, type PressedBlocks, type PressRequest } from './press-message.js';

/** By compression and level: a handful at most. */
const presses = new Map<string, BlockPress>();

/** piscina calls the default export with what `run` was given. Never rejects: an error that crosses threads as such is no BackupError any more. */
export default async function pressBlocks(request: PressRequest): Promise<unknown> {
  const answer = await pressed(request);
  // Node frees what the codecs' native code has returned only when the event loop turns, and takes up to a thousand messages before it does: memory would grow by every block.
  await systemClock.yieldToHost();
  return answer;
}

async function pressed(request: PressRequest): Promise<unknown> {
  let began = systemClock.now();
  try {
    const press = await pressFor(request.compression, request.level);
    // Loading a codec is no work on blocks.
    began = systemClock.now();
    const isCancelled = Atomics.load(request.cancelled, 0) !== 0;
    const stored = isCancelled ? [] : await press.press(request.blocks);
    const answer: PressedBlocks = { ms: systemClock.now() - began, stored };
    return move({ [transferableSymbol]: buffersOf(stored), [valueSymbol]: answer });
  } catch (error) {
    return describeFailure(error, systemClock.now() - began);
  }
}

async function pressFor(compression: SstCompression, level: number | undefined): Promise<BlockPress> {
  const key = `${compression} ${level}`;
  let press = presses.get(key);
  if (press === undefined) {
    press = inlinePress(await loadCodec(compression, { level }), await loadCrc32c());
    presses.set(key, press);
  }
  return press;
}
