// The settings of a snapshot's pace, by TiKV's names (`[backup]` in its configuration).

import { availableParallelism } from 'node:os';

import { BackupError } from '../core/errors.js';
import { checkWholeNumber } from '../core/check-option.js';

export interface BackupSettings {
  /** Scan workers: regions that are scanned at a time. Tasks, not threads: they wait for the database most of the time. Default 4. */
  readonly numThreads: number;
  /** Regions that a scan worker takes at once. Small neighbours among them share a file. Default 8. */
  readonly batchSize: number;
  /** Lets a SoftLimitKeeper lower the number of scan workers while the machine or the host is busy. Default false. */
  readonly enableAutoTune: boolean;
  /** Cores that auto-tune leaves to others. Default: a fifth of the machine's, rounded. */
  readonly autoTuneRemainThreads: number;
  /** ms between two looks of auto-tune at the load. Default 60,000. */
  readonly autoTuneRefreshInterval: number;
  /** Save workers: files that are written at a time. Default 2. */
  readonly ioThreadSize: number;
}

/** More can do no good. */
const MAX_WORKERS = 1024;

/** The settings, with defaults for what is left out. INVALID_OPTION names the one that is wrong. `cores`: of the machine. */
export function backupSettings(
  settings: Partial<BackupSettings> = {},
  cores: number = availableParallelism(),
): BackupSettings {
  const enableAutoTune = settings.enableAutoTune ?? false;
  if (typeof enableAutoTune !== 'boolean') {
    throw new BackupError('INVALID_OPTION', `enableAutoTune must be true or false, got ${String(enableAutoTune)}`);
  }
  const number = (name: keyof Omit<BackupSettings, 'enableAutoTune'>, fallback: number, least: number, most: number) =>
    checkWholeNumber(name, settings[name] ?? fallback, least, most);
  return {
    numThreads: number('numThreads', 4, 1, MAX_WORKERS),
    batchSize: number('batchSize', 8, 1, 65_536),
    enableAutoTune,
    autoTuneRemainThreads: number('autoTuneRemainThreads', Math.round(cores / 5), 0, 65_536),
    autoTuneRefreshInterval: number('autoTuneRefreshInterval', 60_000, 1, Number.MAX_SAFE_INTEGER),
    ioThreadSize: number('ioThreadSize', 2, 1, MAX_WORKERS),
  };
}
