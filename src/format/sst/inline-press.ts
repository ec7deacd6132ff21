// The press without threads.

import { crc32c as tableCrc32c } from '../../core/crc32c.js';
import type { BlockPress } from './block-press.js';
import type { BlockCodec } from './codec.js';
import type { Crc32c } from './native-crc32c.js';
import { pressBlock } from './press-block.js';

/** Presses on the calling thread, while the caller waits. `crc32c`: from `loadCrc32c` where it is to be fast. */
export function inlinePress(codec: BlockCodec, crc32c: Crc32c = tableCrc32c): BlockPress {
  return {
    compression: codec.compression,
    concurrency: 1,
    press: (blocks) => blocks.map((raw) => pressBlock(raw, codec, crc32c)),
  };
}
