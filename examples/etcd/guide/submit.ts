// submit.ts: begins the backup, once. The processes must be running.

import { BackupOperator } from 'tidemark';
import { backupUrl, connect, storeIn } from './connections.js';

const DAY = 24 * 60 * 60 * 1000;

const coordination = connect('COORDINATION');
const job = await new BackupOperator(storeIn(coordination)).submit({
  uid: 'cluster', // a name that was never used in this store
  url: backupUrl,
  startVersion: 0n,
  snapshotInterval: DAY,
});
console.log(`${backupUrl} has every change from revision ${job.completeFrom} on`);
coordination.close();
