import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import type { FaultRates } from '../../src/testing/simulation/faults.js';
import { SimProcess } from '../../src/testing/simulation/process.js';
import { SimContainers } from '../../src/testing/simulation/sim-container.js';
import { makeWorld, runAll } from './world.js';

function makeContainer(seed: number, rates: Partial<FaultRates> = {}) {
  const world = makeWorld(seed, rates);
  const containers = new SimContainers(world);
  const process = new SimProcess(world, 'p');
  return { world, containers, process };
}

async function writeOne({ containers, process }: ReturnType<typeof makeContainer>): Promise<void> {
  const container = await containers.open(process, 'sim://c');
  const file = await container.writeFile('a/b');
  await file.append([utf8('one'), utf8('two')]);
  expect(containers.files('sim://c').size).toBe(0);
  await file.finish();
}

describe('SimContainers', () => {
  it('shows a file only when it is finished', async () => {
    const parts = makeContainer(1);
    const work = writeOne(parts);
    await runAll(parts.world);
    await work;
    const reader = parts.containers.reader('sim://c');
    expect(Buffer.from(await reader.readFile('a/b', 2, 3)).toString()).toBe('etw');
    const names: string[] = [];
    for await (const { name, size } of reader.listFiles('a/')) names.push(`${name} ${size}`);
    expect(names).toEqual(['a/b 6']);
  });

  it('takes the bytes when the call has its effect, not later', async () => {
    const { world, containers, process } = makeContainer(1);
    const work = (async () => {
      const container = await containers.open(process, 'sim://c');
      const file = await container.writeFile('f');
      const chunk = utf8('good');
      await file.append([chunk]);
      chunk.fill(0);
      await file.finish();
    })();
    await runAll(world);
    await work;
    expect(Buffer.from(containers.files('sim://c').get('f') ?? []).toString()).toBe('good');
  });

  it('fails, and leaves the file behind or not, as the seed wants', async () => {
    let left = 0;
    let failed = 0;
    for (let seed = 0; seed < 60; seed++) {
      const parts = makeContainer(seed, {
        failAfter: { log: 0, store: 0, container: 0.3, source: 0 },
        failBefore: { log: 0, store: 0, container: 0.1, source: 0 },
      });
      const work = writeOne(parts).catch(() => failed++);
      await runAll(parts.world);
      await work;
      left += parts.containers.files('sim://c').size;
    }
    expect(failed).toBeGreaterThan(20);
    expect(left).toBeGreaterThan(60 - failed);
  });

  it('is down for a while or gone for good', async () => {
    for (const [health, retryable] of [
      ['down', true],
      ['gone', false],
    ] as const) {
      const parts = makeContainer(1);
      parts.containers.setHealth('sim://c', health);
      const work = writeOne(parts).catch((error: unknown) => error);
      await runAll(parts.world);
      expect(await work).toMatchObject({ code: 'CONTAINER_UNAVAILABLE', retryable });
    }
  });
});
