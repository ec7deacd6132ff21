// Decoders with mistakes of their own, to show that the fuzzer finds them: never part of a run unless asked for by name.

import { BackupError } from '../../../src/core/errors.js';
import type { FuzzTarget } from '../target.js';
import { ascii } from './inputs.js';

const PLANTED = {
  weight: 0,
  form: 'bytes',
  maxBytes: 64,
  batch: 64,
  codes: ['CORRUPT_FILE'],
  memory: { fixed: 64 << 10, perByte: 64 },
} as const;

function refuse(what: string): never {
  throw new BackupError('CORRUPT_FILE', what, { file: 'planted', offset: 0 });
}

/** A TypeError behind five conditions, each of which one byte in 256 meets: a blind fuzzer would need 2^40 tries. */
const deep: FuzzTarget = {
  ...PLANTED,
  name: 'planted-deep',
  seeds: () => [ascii('hello, this is no magic')],
  run(input) {
    if (input[0] !== 0x54) refuse('not a T');
    if (input[1] !== 0x49) refuse('not an I');
    if (input[2] !== 0x44) refuse('not a D');
    if (input[3] !== 0x45) refuse('not an E');
    if ((input[4] ?? 0) < 0xf0) refuse('too small');
    throw new TypeError('the planted mistake');
  },
};

const loop: FuzzTarget = {
  ...PLANTED,
  name: 'planted-loop',
  seeds: () => [ascii('seed')],
  run(input) {
    while (input[0] === 0xff) if (input.length > 64) return 'accepted';
    return 'refused';
  },
};

let kept: unknown;

const memory: FuzzTarget = {
  ...PLANTED,
  name: 'planted-memory',
  seeds: () => [ascii('seed')],
  run(input) {
    kept = (input[0] ?? 0) === 0xff ? new Uint8Array(50_000_000) : undefined;
    return kept === undefined ? 'refused' : 'accepted';
  },
};

export const planted: readonly FuzzTarget[] = [deep, loop, memory];
