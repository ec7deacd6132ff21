import { expect, it, vi } from 'vitest';

it('the quickstart backs up and restores', async () => {
  const print = vi.spyOn(console, 'log').mockImplementation(() => {});
  await import('../../examples/quickstart.js');
  expect(print).toHaveBeenCalledExactlyOnceWith('world');
});
