// One process of the torture test, which may be killed at any moment: backup workers for a share of the log's tags, or snapshots, or the care of the containers. It learns what to do from its settings and
// from the progress store, as a host's own process would.

import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { DiskFaults } from './disk-faults.js';
import type { ChildMessage, ChildSettings, Command } from './messages.js';

const MOST_LOOKS = 1_000;

const settings = JSON.parse(process.argv[2] ?? '') as ChildSettings;

const faults = new DiskFaults(settings.killAtOperation);
await faults.install();
const openBefore = new Set(openFiles().map(({ descriptor }) => descriptor));
// Only now, so that the library gets the disk's functions from above.
const { runRole } = await import('./child-roles.js');

const stop = new AbortController();
const scope = await runRole(settings, faults, stop.signal, tell);
process.on('message', (message: Command) => {
  if (message.command === 'stop') stop.abort();
  else scope.command(message);
});
process.on('SIGTERM', () => stop.abort());
process.on('disconnect', () => stop.abort()); // the test is gone
tell({ kind: 'ready' });

try {
  await scope.done;
} catch (error) {
  tell({ kind: 'problem', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}
tell({
  kind: 'end',
  resources: await resourcesLeft(),
  openFiles: openFiles()
    .filter(({ descriptor }) => !openBefore.has(descriptor))
    .map(({ target }) => target),
});
if (process.connected) process.disconnect();

/**
 * What keeps this process alive, beside the pipe to the test. A watcher takes some turns of the event loop to close, and a read or a sync that was given up ends when the disk has done it: only what stays for
 * ten seconds is a leak.
 */
async function resourcesLeft(): Promise<string[]> {
  for (let look = 0; ; look++) {
    const resources = process.getActiveResourcesInfo().filter((resource) => !resource.startsWith('Pipe'));
    if (resources.length === 0 || look === MOST_LOOKS) return resources;
    await sleep(10);
  }
}

function tell(message: ChildMessage): void {
  if (process.connected) process.send?.(message);
}

/** What this process has open, by what the system says. */
function openFiles(): { descriptor: string; target: string }[] {
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      return [{ descriptor, target: readlinkSync(`/proc/self/fd/${descriptor}`) }];
    } catch {
      return []; // the descriptor of the listing itself
    }
  });
}
