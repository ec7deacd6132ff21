// The demo's command line: that of the level host's demo, with less to do.

import { parseDemoOptions, type DemoOptions } from '../level-host/demo-options.js';

export const USAGE = `npm run demo:etcd -- [--seed N] [--transactions N] [--out DIR]
  --seed N           which workload (default 1)
  --transactions N   how much of it, at least (default 4000)
  --out DIR          keep a copy of the backup in DIR/container and the rows that it must restore to in
                     DIR/rows-<version>.txt; DIR must be new or empty`;

export function parseOptions(args: readonly string[]): DemoOptions {
  return parseDemoOptions(args, { transactions: 4_000, least: 500 });
}
