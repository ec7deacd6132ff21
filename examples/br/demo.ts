// npm run demo:br: two databases are backed up in TiKV's format, on two threads; RocksDB's own tools judge the files, and what is restored is compared row by row.
// This file is the order of events; raw-story.ts and txn-story.ts are what happens, checks.ts what is compared.

import { mebibytes, number, table } from '../level-host/display.js';
import { demoMain } from '../level-host/demo-main.js';
import type { DemoOptions } from '../level-host/demo-options.js';
import type { RestoreCheck } from './checks.js';
import { parseOptions, USAGE } from './demo-options.js';
import { playRaw, type RawStory } from './raw-story.js';
import { Stage } from './stage.js';
import { playTxn, type TxnStory } from './txn-story.js';

async function runDemo(options: DemoOptions, abort: AbortController): Promise<void> {
  const started = performance.now();
  const stage = await Stage.open(options, abort);
  try {
    const raw = await playRaw(stage);
    const txn = await playTxn(stage);
    stage.display.stop();
    console.log(report(stage, raw, txn, started));
  } finally {
    await stage.close();
  }
}

function report(stage: Stage, raw: RawStory, txn: TxnStory, started: number): string {
  const { hasTools, options } = stage;
  const leftOut = 'left out: the tool is not installed';
  return table([
    ['raw backup', backup(raw.backup)],
    ['sst_dump', hasTools ? `${number(raw.dumped ?? 0)} rows, as many as there were` : leftOut],
    [
      'ldb',
      hasTools
        ? `${number(raw.ingested ?? 0)} rows in the RocksDB that took the files, all as they should be`
        : leftOut,
    ],
    ['restored', restored(raw.restored)],
    ['full backup', backup(txn.full)],
    ['incremental', backup(txn.incremental)],
    ...txn.restored.map((check) => ['restored', `to ${number(check.version)}: ${restored(check)}`] as const),
    ['threads', `${stage.threads.numThreads} compressed all of it`],
    ...(options.out === undefined ? [] : [['kept in', options.out] as const]),
    ['took', `${number((performance.now() - started) / 1000, 1)} s`],
  ]);
}

function backup({ rows, rowBytes, files, bytes }: RawStory['backup']): string {
  return `${number(rows)} rows, ${mebibytes(rowBytes)}, in ${files.length} file${files.length === 1 ? '' : 's'} of ${mebibytes(bytes)}`;
}

function restored({ rows, milliseconds }: RestoreCheck): string {
  return `${number(rows)} rows, all as they should be, in ${number(milliseconds)} ms`;
}

await demoMain({ parseOptions, usage: USAGE, run: runDemo });
