// The demo's command line.

import { parseArgs } from 'node:util';

export interface DemoOptions {
  readonly seed: number;
  readonly transactions: number;
  /** Where the container and the model's rows are kept; undefined: nothing is kept but the picture. */
  readonly out: string | undefined;
}

export const USAGE = `npm run demo -- [--seed N] [--transactions N] [--out DIR]
  --seed N           which workload (default 1)
  --transactions N   how much of it (default 40000)
  --out DIR          keep the backup in DIR/container and the rows that it must restore to in DIR/rows-<version>.txt, the
                     backup with snapshots likewise in DIR/snapshots; DIR must be new or empty`;

export function parseOptions(args: readonly string[]): DemoOptions {
  return parseDemoOptions(args, { transactions: 40_000, least: 1_000 });
}

/** `transactions`: how many where nothing is said; `least`: fewer show nothing. */
export function parseDemoOptions(
  args: readonly string[],
  { transactions, least }: { readonly transactions: number; readonly least: number },
): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string', default: '1' },
      transactions: { type: 'string', default: String(transactions) },
      out: { type: 'string' },
    },
  });
  return {
    seed: wholeNumber('--seed', values.seed, 0),
    transactions: wholeNumber('--transactions', values.transactions, least),
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
