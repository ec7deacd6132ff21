// A pop is checked at the moment at which the log discards: nothing may go that is not recorded, nor while an older epoch is unfinished.

import { doneKey } from '../../job/keys.js';
import { oldestBackupEpoch } from '../../job/plan.js';
import type { LogEpochInfo } from '../../ports/log-source.js';
import type { StoreCheckParts } from './check-store.js';
import { recordedVersion } from './check-store.js';

export function checkPops(parts: StoreCheckParts): void {
  const { log, store, verdict } = parts;
  log.onPop(({ epoch, tag, upTo, process }) => {
    const recorded = recordedVersion(store.values, log.allEpochs, epoch, tag);
    verdict.expect(
      upTo <= recorded,
      'nothing is popped that is not recorded (P5)',
      () => `${process.name} pops epoch ${epoch}, tag ${tag} up to ${upTo}; recorded is ${recorded}`,
    );
    const oldest = oldestUnfinished(log.allEpochs, store.values);
    verdict.expect(
      epoch <= oldest,
      'no pop while an older epoch is unfinished (P5)',
      () => `${process.name} pops epoch ${epoch}, tag ${tag}; epoch ${oldest} is unfinished`,
    );
  });
}

export function oldestUnfinished(epochs: readonly LogEpochInfo[], values: ReadonlyMap<string, Uint8Array>): number {
  const done = epochs.flatMap(({ epoch, totalTags }) =>
    Array.from({ length: totalTags }, (_, tag) => ({ epoch, tag })).filter((place) =>
      values.has(doneKey(place.epoch, place.tag)),
    ),
  );
  return oldestBackupEpoch(epochs, done);
}
