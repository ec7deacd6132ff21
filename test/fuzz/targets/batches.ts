// MessageBatchBuilder: an input is a program of its calls, held against a list of the messages that must come out.

import { compareBytes } from '../../../src/core/bytes.js';
import { BackupError } from '../../../src/core/errors.js';
import { MessageBatchBuilder } from '../../../src/core/message-batch-builder.js';
import type { MessageBatch } from '../../../src/core/message-batch.js';
import { encodeMutation } from '../../../src/core/mutation.js';
import type { MutationType } from '../../../src/core/mutation.js';
import { randomBytes } from '../mutate.js';
import type { FuzzTarget } from '../target.js';
import { mustEqual } from '../target.js';
import { InputReader } from './inputs.js';

const SUBSEQUENCES = [0, 1, 2, 5, 0x7fffffff, 0x80000000, 0xffffffff, 2 ** 32, -1, 0.5, Number.NaN, Infinity];
const STORED = new Set([0, 1, 2, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
const NEVER = new Set([3, 4, 5, 10, 11, 21, 22, 23]);

/** Version, subsequence, type, both params in hex. */
type Message = readonly [bigint, number, number, string, string];

class Model {
  messages: Message[] = [];
  #version = -1n;
  #subsequence = 0;

  /** Whether the builder must take it. */
  beginVersion(version: bigint): boolean {
    if (version <= this.#version || version >= 1n << 63n || version < 0n) return false;
    this.#version = version;
    this.#subsequence = 0;
    return true;
  }

  /** The builder's answer; `throws`: a BackupError. */
  add(subsequence: number, type: number, param1: Uint8Array, param2: Uint8Array): boolean | 'throws' {
    if (NEVER.has(type)) return false;
    if (!STORED.has(type)) return 'throws';
    let [begin, end] = [param1, param2];
    if (type === 1) {
      if (end.length === 0 && begin.length > 0) {
        if (begin.at(-1) !== 0) return 'throws';
        [begin, end] = [begin.subarray(0, -1), begin];
      } else if (compareBytes(begin, end) === 0) return false;
      else if (compareBytes(begin, end) > 0) return 'throws';
    }
    const isU32 = Number.isInteger(subsequence) && subsequence >= 0 && subsequence < 2 ** 32;
    if (!isU32 || subsequence < this.#subsequence || this.#version < 0n) return 'throws';
    this.#subsequence = subsequence;
    this.messages.push([this.#version, subsequence, type, hex(begin), hex(end)]);
    return true;
  }

  startOver(): void {
    this.messages = [];
    this.#version = -1n;
    this.#subsequence = 0;
  }
}

export const batchBuilder: FuzzTarget = {
  name: 'batch-builder',
  weight: 8,
  form: 'bytes',
  maxBytes: 512,
  memory: { fixed: 768 << 10, perByte: 512 },
  batch: 128,
  codes: [],
  dictionary: [Uint8Array.of(0), Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0x80), Uint8Array.of(3)],
  seeds: (random) => Array.from({ length: 30 }, () => randomBytes(random, 200)),
  run(input) {
    const reader = new InputReader(input);
    const builder = new MessageBatchBuilder({ initialBytes: 1 + reader.u16() });
    const model = new Model();
    let batches = 0;
    while (!reader.atEnd) {
      if (!step(reader, builder, model)) continue;
      check(builder.build(), model.messages);
      model.startOver();
      batches++;
    }
    check(builder.build(), model.messages);
    return batches + model.messages.length > 0 ? 'accepted' : 'refused';
  },
};

/** True: the batch is to be built now. */
function step(reader: InputReader, builder: MessageBatchBuilder, model: Model): boolean {
  const op = reader.byte() % 8;
  if (op === 7) return true;
  if (op === 0) {
    const version = op === 0 && reader.byte() < 200 ? BigInt(reader.u16()) : BigInt.asIntN(65, reader.u64());
    const works = attempt(() => (builder.beginVersion(version), true));
    mustEqual(works, model.beginVersion(version) ? true : 'throws', `beginVersion(${version})`);
    return false;
  }
  const choice = reader.byte();
  const subsequence = choice < 128 ? choice & 7 : (SUBSEQUENCES[choice % SUBSEQUENCES.length] as number);
  const type = op < 3 ? 0 : reader.byte() & (op < 6 ? 31 : 0xff);
  const param1 = reader.bytes(reader.byte() % 80).slice();
  const param2 = reader.bytes(reader.byte() % 40).slice();
  if (op % 2 === 0) {
    const answer = attempt(() => builder.add(subsequence, type, param1, param2));
    mustEqual(answer, model.add(subsequence, type, param1, param2), `add(${subsequence}, ${type})`);
    return false;
  }
  const joined = Uint8Array.of(...param1, ...param2);
  const odd = reader.byte();
  const length1 = odd < 230 ? param1.length : ([joined.length + 1, -1, 0.5, 2 ** 32, Number.NaN][odd % 5] as number);
  const answer = attempt(() => builder.addJoined(subsequence, type, joined, length1));
  const isLength = Number.isInteger(length1) && length1 >= 0 && length1 <= joined.length;
  const expected = isLength
    ? model.add(subsequence, type, joined.subarray(0, length1), joined.subarray(length1))
    : 'throws';
  mustEqual(answer, expected, `addJoined(${subsequence}, ${type}, ${length1})`);
  return false;
}

function attempt(call: () => boolean): boolean | 'throws' {
  try {
    return call();
  } catch (error) {
    if (
      !BackupError.is(error, 'ADAPTER_CONTRACT') &&
      !BackupError.is(error, 'INVALID_MUTATION') &&
      !BackupError.is(error, 'INVALID_STATE')
    )
      throw error;
    return 'throws';
  }
}

function check(batch: MessageBatch, expected: readonly Message[]): void {
  const found = [...batch].map(({ version, subsequence, mutation: { type, param1, param2 } }) => [
    version,
    subsequence,
    type,
    hex(param1),
    hex(param2),
  ]);
  mustEqual(found, expected, 'the batch');
  let bytes = 0;
  let [min, end] = [undefined as string | undefined, undefined as string | undefined];
  for (const [, , type, param1, param2] of expected) {
    const [p1, p2] = [Buffer.from(param1, 'hex'), Buffer.from(param2, 'hex')];
    bytes += 16 + encodeMutation({ type: type as MutationType, param1: p1, param2: p2 }).length;
    if (min === undefined || param1 < min) min = param1;
    const after = type === 1 ? param2 : `${param1}00`;
    if (end === undefined || after > end) end = after;
  }
  mustEqual([batch.byteLength, batch.recordCount], [bytes, expected.length], 'bytes and records');
  mustEqual(
    [batch.minKey && hex(batch.minKey), batch.endKey && hex(batch.endKey)],
    [min, end],
    'the keys that the batch touches',
  );
  const versions = [...new Set(expected.map(([version]) => version))];
  mustEqual([...batch.versions.subarray(0, batch.versionCount)], versions, 'versions');
  for (const version of versions) {
    mustEqual(
      batch.recordsThrough(version),
      expected.filter(([other]) => other <= version).length,
      `records through ${version}`,
    );
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
