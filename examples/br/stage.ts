// What all parts of the demo use: folders, the threads, the display, and RocksDB's tools if they are here.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { DirectoryContainer } from 'tidemark';
import { BlockPool } from 'tidemark/br';
import type { DemoOptions } from '../level-host/demo-options.js';
import { openDisplay, type Display } from '../level-host/display.js';
import { formatRows, type ModelRows } from '../level-host/history.js';
import { hasRocksDbTools, HOW_TO_INSTALL } from './rocksdb-tools.js';

const THREADS = 2;

export type BackupName = 'raw' | 'full' | 'incremental';

export class Stage {
  readonly options: DemoOptions;
  readonly folder: string;
  readonly display: Display;
  readonly signal: AbortSignal;
  /** Compress the blocks of all backups. */
  readonly threads: BlockPool;
  /** Whether sst_dump and ldb are here. */
  readonly hasTools: boolean;

  private constructor(
    options: DemoOptions,
    folder: string,
    threads: BlockPool,
    hasTools: boolean,
    signal: AbortSignal,
  ) {
    this.options = options;
    this.folder = folder;
    this.threads = threads;
    this.hasTools = hasTools;
    this.signal = signal;
    this.display = openDisplay();
  }

  static async open(options: DemoOptions, { signal }: AbortController): Promise<Stage> {
    const hasTools = hasRocksDbTools();
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-demo-br-'));
    try {
      const stage = new Stage(options, folder, await BlockPool.open({ numThreads: THREADS }), hasTools, signal);
      if (!hasTools)
        stage.tell(`sst_dump and ldb are not installed: what they would judge is left out. ${HOW_TO_INSTALL}`);
      return stage;
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** The folder of a backup; with --out it is kept. */
  backupFolder(name: BackupName): string {
    const { out } = this.options;
    return join(out === undefined ? this.folder : resolve(out), name);
  }

  container(name: BackupName): DirectoryContainer {
    return new DirectoryContainer(this.backupFolder(name));
  }

  /** With --out: what the backup must restore to, for whoever wants to compare. */
  async keepRows(name: BackupName, rows: ModelRows): Promise<void> {
    const { out } = this.options;
    if (out !== undefined) await writeFile(join(resolve(out), `${name}-rows.txt`), formatRows(rows));
  }

  /** A new folder, which goes when the demo ends. */
  async freshFolder(name: string): Promise<string> {
    const folder = join(this.folder, name);
    await mkdir(folder);
    return folder;
  }

  scene(title: string): void {
    this.signal.throwIfAborted();
    this.display.say(`• ${title}`);
  }

  tell(line: string): void {
    this.display.say(`    ${line}`);
  }

  /** Ends the threads and removes the temp folder. */
  async close(): Promise<void> {
    this.display.stop();
    await this.threads.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}
