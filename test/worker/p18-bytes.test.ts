// Rules P18 and P19 of docs/protocol.md, through a whole worker: a job's bytes depend on the job alone. (The router by itself: test/pipeline.)

import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { MutationType } from '../../src/core/mutation.js';
import { parseLogFileName } from '../../src/format/fdb/names.js';
import { World, set, type SubmitOptions } from './world.js';

const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.end();
});

/** [begin, end) of single letters, "a-c" being [a, c). */
function ranges(...texts: string[]): NonNullable<SubmitOptions['ranges']> {
  return texts.map((text) => {
    const [begin = '', end = ''] = text.split('-');
    return { begin: utf8(begin), end: utf8(end) };
  });
}

function clear(begin: string, end: string) {
  return { type: MutationType.ClearRange, param1: utf8(begin), param2: utf8(end) };
}

/** A worker with these jobs over the same history, with rounds at the same times. */
async function run(jobs: Readonly<Record<string, SubmitOptions>>, history: (world: World) => void): Promise<World> {
  const world = new World();
  worlds.push(world);
  await world.announce();
  world.start(0, { peekBytes: 200, blockSize: 256 });
  for (const [uid, options] of Object.entries(jobs)) void world.request(uid, options);
  await world.clock.advance(5_000);
  for (let round = 0; round < 3; round++) {
    history(world);
    await world.clock.advance(10_000);
  }
  return world;
}

/** "[begin, end) blockSize hex" of each of a job's files: all that its names and contents say but the random part. */
async function bytesOf(world: World, uid: string): Promise<string[]> {
  const files: string[] = [];
  const container = world.container(`memory:${uid}`);
  for await (const { name, size } of container.listFiles('plogs/')) {
    const file = parseLogFileName(name);
    if (file === undefined) continue;
    const bytes = await container.readFile(name, 0, size);
    files.push(`[${file.begin}, ${file.end}) ${file.blockSize} ${Buffer.from(bytes).toString('hex')}`);
  }
  return files;
}

/** Sets and clears over the letters, many of them across the edges of ranges; the same in every world. */
function mixedHistory(world: World): void {
  const letters = 'abcdefghijklmnopqrstuvwxyz';
  for (let i = 0; i < 40; i++) {
    const letter = letters[(i * 7) % 26] ?? 'a';
    const other = letters[(i * 11 + 5) % 26] ?? 'z';
    const [low, high] = letter < other ? [letter, other] : [other, letter];
    const messages = [{ tag: 0, mutation: set(`${letter}${i}=${'x'.repeat(i)}`) }];
    if (low < high && i % 3 === 0) messages.push({ tag: 0, mutation: clear(low, high) });
    if (i % 5 === 0) messages.push({ tag: 0, mutation: clear(letter, `${letter}\x00`) });
    world.log.commit(messages);
  }
}

describe('P18 a job’s bytes depend on the job alone', () => {
  it.each<[string, SubmitOptions]>([
    ['a job of everything', {}],
    ['a job of one range', { ranges: ranges('d-q') }],
    ['a job of several ranges', { ranges: ranges('b-e', 'h-k', 'k-m', 'x-z') }],
  ])('%s: the same bytes whether or not other jobs run', async (_title, options) => {
    const alone = await run({ job: options }, mixedHistory);
    const together = await run(
      {
        other1: { ranges: ranges('a-c', 'g-i') },
        job: options,
        other2: {},
        other3: { ranges: ranges('e-f', 'o-p', 'y-z'), startVersion: 60n },
      },
      mixedHistory,
    );
    const bytes = await bytesOf(alone, 'job');
    expect(bytes.length).toBeGreaterThanOrEqual(3);
    expect(bytes.some((text) => text.length > 2_000)).toBe(true);
    expect(await bytesOf(together, 'job')).toEqual(bytes);
  });

  it('the same bytes when ranges are given in pieces, out of order or one over the other', async () => {
    const whole = await run({ job: { ranges: ranges('d-q') } }, mixedHistory);
    const pieces = await run({ job: { ranges: ranges('k-q', 'd-f', 'f-k', 'e-j') } }, mixedHistory);
    expect(await bytesOf(pieces, 'job')).toEqual(await bytesOf(whole, 'job'));
  });

  it('a clear is split at the job’s own edges only, and its parts share version and subsequence', async () => {
    const jobs = {
      split: { ranges: ranges('b-d', 'f-h') },
      whole: { ranges: ranges('a-z') },
      edge: { ranges: ranges('c-g') },
    };
    const world = await run(jobs, ({ log }) => {
      log.commit([
        { tag: 0, mutation: set('a=before') },
        { tag: 0, mutation: clear('a', 'g') },
        { tag: 0, mutation: set('g=after') },
      ]);
    });
    const first = async (uid: string) => (await world.mutations(uid)).filter((text) => text.startsWith('0/1/'));
    expect(await first('split')).toEqual(['0/1/2/b=d', '0/1/2/f=g', '0/1/3/g=after']);
    expect(await first('whole')).toEqual(['0/1/1/a=before', '0/1/2/a=g', '0/1/3/g=after']);
    expect(await first('edge')).toEqual(['0/1/2/c=g']);
  });
});

describe('P19 which messages belong to a job', () => {
  it('ranges are half-open, to the last byte: the begin is in, the end is not, and every key below it is', async () => {
    const world = await run({ job: { ranges: ranges('c-f') } }, ({ log }) => {
      for (const key of ['b\u007f', 'c', 'c\x00', 'e\u007f', 'f', 'f\x00'])
        log.commit([{ tag: 0, mutation: set(key) }]);
    });
    const keys = (await world.mutations('job')).slice(0, 3).map((text) => text.split('/')[3]);
    expect(keys).toEqual(['c=v', 'c\x00=v', 'e\u007f=v']);
    expect(await world.mutations('job')).toHaveLength(9);
  });

  it('a batch that just reaches the end of a range is looked at message by message', async () => {
    // All in one batch: the largest key equals the end of the range, and so does the end of the clear of the key before it.
    const world = await run({ job: { ranges: ranges('c-f') } }, ({ log }) => {
      log.commit([
        { tag: 0, mutation: set('c') },
        { tag: 0, mutation: clear('e', 'f') },
        { tag: 0, mutation: set('f') },
      ]);
    });
    expect((await world.mutations('job')).slice(0, 2)).toEqual(['0/1/1/c=v', '0/1/2/e=f']);
    expect(await world.mutations('job')).toHaveLength(6);
  });

  it('the short clear of a single key belongs to the range of that key, and reads back as it was', async () => {
    const history = ({ log }: World) => {
      log.commit([
        { tag: 0, mutation: clear('c', 'c\x00') },
        { tag: 0, mutation: clear('f', 'f\x00') },
      ]);
    };
    const world = await run({ left: { ranges: ranges('c-f') }, right: { ranges: ranges('f-g') } }, history);
    expect((await world.mutations('left'))[0]).toBe('0/1/1/c=c\x00');
    expect((await world.mutations('right'))[0]).toBe('0/1/2/f=f\x00');
    expect(await world.mutations('left')).toHaveLength(3);
  });

  it('what is no mutation never reaches a file', async () => {
    const world = await run({ job: {} }, ({ log }) => {
      const types = [3, 4, 5, 10, 11, 21, 22, 23];
      log.commit([
        ...types.map((type) => ({ tag: 0, mutation: { type, param1: utf8('k'), param2: utf8('special') } })),
        { tag: 0, mutation: set('k=plain') },
      ]);
    });
    expect(await world.mutations('job')).toEqual(['0/1/9/k=plain', '0/2/9/k=plain', '0/3/9/k=plain']);
  });

  it('every job stores the metadata version key, whatever its ranges', async () => {
    const key = Uint8Array.from([0xff, ...utf8('/metadataVersion')]);
    const world = await run({ job: { ranges: ranges('c-f') } }, ({ log }) => {
      log.commit([{ tag: 0, mutation: { type: 0, param1: key, param2: utf8('1') } }]);
      log.commit([{ tag: 0, mutation: { type: 0, param1: Uint8Array.from([0xff, 0x02]), param2: utf8('2') } }]);
    });
    expect((await world.mutations('job')).map((text) => text.split('=')[1])).toEqual(['1', '1', '1']);
  });
});
