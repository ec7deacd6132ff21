// The demo's command line: that of the level host's demo, with less to do.

import { parseDemoOptions, type DemoOptions } from '../level-host/demo-options.js';

export const USAGE = `npm run demo:br -- [--seed N] [--transactions N] [--out DIR]
  --seed N           which workload (default 1)
  --transactions N   how much of it, for each of the two databases (default 6000)
  --out DIR          keep the backups in DIR/raw, DIR/full and DIR/incremental, and the rows that they must restore to in
                     DIR/<backup>-rows.txt; DIR must be new or empty. "npm run inspect -- backupmeta DIR/raw" shows
                     what is in one; the incremental one is encrypted, under the SHA-256 of "a demo"`;

export function parseOptions(args: readonly string[]): DemoOptions {
  return parseDemoOptions(args, { transactions: 6_000, least: 200 });
}
