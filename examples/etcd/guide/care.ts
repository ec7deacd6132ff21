// care.ts: once a day, in one place at a time. Keeps 30 days, and says whether they are sound.

import { compactLogs, expireBackup, openContainer, verifyBackup } from 'tidemark';
import { backupUrl } from './connections.js';

const DAY = 24 * 60 * 60 * 1000;

const container = await openContainer(backupUrl);
const oldest = new Date(Date.now() - 30 * DAY);
const { deleted } = await expireBackup(container, { before: oldest, restorableAfter: oldest });
const { merged, removed } = await compactLogs(container);
const { ok, problems } = await verifyBackup(container, { deep: true });
console.log(`deleted ${deleted.snapshots} snapshots and ${deleted.logFiles} log files`);
console.log(`merged ${removed} log files into ${merged.length}`);
if (!ok) console.error('ALERT: the backup is damaged', problems);
process.exitCode = ok ? 0 : 1;
