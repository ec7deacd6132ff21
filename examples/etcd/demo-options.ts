// The demo's command line.

import { parseArgs } from 'node:util';

export interface DemoOptions {
  readonly seed: number;
  readonly transactions: number;
  /** Where a copy of the backup and the expected rows are kept; undefined: nothing is kept but the picture. */
  readonly out: string | undefined;
}

export const USAGE = `npm run demo:etcd -- [--seed N] [--transactions N] [--out DIR]
  --seed N           which workload (default 1)
  --transactions N   how much of it, at least (default 4000)
  --out DIR          keep a copy of the backup in DIR/container and the rows that it must restore to in
                     DIR/rows-<version>.txt; DIR must be new or empty`;

export function parseOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string', default: '1' },
      transactions: { type: 'string', default: '4000' },
      out: { type: 'string' },
    },
  });
  return {
    seed: wholeNumber('--seed', values.seed, 0),
    transactions: wholeNumber('--transactions', values.transactions, 500),
    out: values.out,
  };
}

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least || text.trim() === '') {
    throw new RangeError(`${name} must be a whole number from ${least}, got ${text}`);
  }
  return value;
}
