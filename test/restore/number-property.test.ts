// Numbers in properties/: nothing in the file says where it ends, so half of one would be a number too.

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { systemRandom } from '../../src/core/clock.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { readNumberProperty } from '../../src/restore/number-property.js';
import { expiredVersion } from '../../src/snapshot/half-snapshot.js';
import { ManualClock } from '../../src/testing/manual-clock.js';

const NAME = 'properties/expired_end_version';

async function put(container: MemoryContainer, text: string): Promise<void> {
  const file = await container.writeFile(NAME);
  await file.append([utf8(text)]);
  await file.finish();
}

async function holding(text: string): Promise<MemoryContainer> {
  const container = new MemoryContainer();
  await put(container, text);
  return container;
}

/** What happens right after a read. */
function afterRead(container: MemoryContainer, happens: () => Promise<void>): void {
  const read = container.readFile.bind(container);
  container.readFile = async (name, offset, length) => {
    container.readFile = read;
    const bytes = await read(name, offset, length);
    await happens();
    return bytes;
  };
}

function readShort(container: MemoryContainer, most: number): void {
  const read = container.readFile.bind(container);
  container.readFile = (name, offset, length) => read(name, offset, Math.min(length, most));
}

describe('a number in a property', () => {
  it('is read', async () => {
    expect(await readNumberProperty(await holding('9223372036854775807'), NAME)).toBe((1n << 63n) - 1n);
    expect(await readNumberProperty(new MemoryContainer(), NAME)).toBeUndefined();
  });

  it('that is read short is refused, and so is one of which nothing comes', async () => {
    for (const most of [0, 1, 4]) {
      const container = await holding('12345');
      readShort(container, most);
      await expect(readNumberProperty(container, NAME), `${most} bytes`).rejects.toMatchObject(
        most === 0
          ? { code: 'CORRUPT_FILE', file: NAME }
          : {
              code: 'ADAPTER_CONTRACT',
              file: NAME,
              offset: most,
              message: expect.stringContaining('goes on behind') as string,
            },
      );
    }
  });

  it('that grows a digit while it is read is one of the two', async () => {
    const container = await holding('99');
    afterRead(container, () => put(container, '100'));
    expect(await readNumberProperty(container, NAME)).toBe(100n);
  });

  it('that is deleted while it is read is none', async () => {
    const container = await holding('99');
    afterRead(container, () => container.deleteFile(NAME));
    expect(await readNumberProperty(container, NAME)).toBeUndefined();
  });

  it('that is read short does not let a snapshot go on below an expiry', async () => {
    const container = await holding('12345');
    const policy = {
      clock: new ManualClock(),
      random: systemRandom,
      maxAttempts: 1,
      retryMinDelay: 1,
      retryMaxDelay: 1,
    };
    const access = { policy, signal: new AbortController().signal };
    expect(await expiredVersion(container, access)).toBe(12_345n);
    readShort(container, 3);
    await expect(expiredVersion(container, access)).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT' });
  });
});
