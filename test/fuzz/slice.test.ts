// A slice of `npm run fuzz` with a fresh seed each time, and every input that ever failed.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Fuzzer } from './fuzzer.js';
import { TARGETS, targetOf } from './targets/index.js';

const SEED = Math.floor(Math.random() * 2 ** 31);
/** For each unit of a target's weight; all targets together are some 25,000. */
const CASES = 150;
const corpus = path.join(import.meta.dirname, 'corpus');

describe(`a slice of the fuzzing, seed ${SEED}`, () => {
  it.each(TARGETS.filter(({ weight }) => weight > 0).map((target) => [target.name, target] as const))(
    '%s',
    async (name, target) => {
      // Without coverage: that is the process's, and may be somebody else's business just now.
      const fuzzer = new Fuzzer(target, { seed: SEED });
      await fuzzer.run(Math.ceil(target.weight * CASES));
      const failures = fuzzer.failures.map(({ input, message }) => `${Buffer.from(input).toString('hex')}\n${message}`);
      expect(failures, `npm run fuzz -- --target ${name} --seed ${SEED} --blind --jobs 1`).toEqual([]);
      expect(fuzzer.stats.cases).toBeGreaterThan(0);
    },
    120_000,
  );
});

describe('inputs that failed once', () => {
  const folders = existsSync(corpus) ? readdirSync(corpus) : [];
  it.each(folders)('%s', async (folder) => {
    const fuzzer = new Fuzzer(targetOf(folder), { seed: 1 });
    for (const file of readdirSync(path.join(corpus, folder))) {
      const hex = readFileSync(path.join(corpus, folder, file), 'utf8').replaceAll(/\s/g, '');
      expect(await fuzzer.try(new Uint8Array(Buffer.from(hex, 'hex'))), `${folder}/${file}`).toBeUndefined();
    }
  });
});
